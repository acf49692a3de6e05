// A GEMM of tokens with int8 or int4 weights for compute capability 9.0, by wgmma, transposed:
// C^T [outputs, tokens] = W [outputs, depth] X [tokens, depth]^T. So weights are the operand that
// wgmma takes from registers, where they are dequantised (quantised_tile.hpp), and never written to
// memory as bfloat16. While the products of some inputs go on, the next ones' weights are
// dequantised.
//
// Blocks are persistent, two groups of four warps take tiles in turns, and the first stages'
// weights are asked for before the previous kernel has ended, as in product.hpp. An output's
// sum has the same order in tiles of every size.
//
// A long depth may be in parts (depth_parts.hpp), whose sums are added in order: a group multiplies
// all parts of a tile, or one, and then the parts' sums meet in scratch memory, where the group
// that comes last adds them.
//
// The norm of the tokens is a kernel of its own before this one (rowwise/embed.cu): here each block
// would measure its tokens again, and dequantising leaves no instructions to spare for that.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper/columns.hpp"
#include "kernels/cuda/gemm/hopper/quantised_store.hpp"
#include "kernels/cuda/gemm/hopper/quantised_tile.hpp"
#include "kernels/cuda/gemm/part_sums.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <class Tile, class Columns, class Depth>
class QuantisedProduct {
  using W = typename Tile::W;
  using Rows = QuantisedRows<Tile, Columns>;
  static constexpr int kGroupWarps = Tile::kGroupThreads / 32;
  static constexpr int kHalves = 2;  // of a run: what a product takes
  static constexpr int kSlice = static_cast<int>(WeightFormat::kSlice);
  using Sums = FragmentC[Tile::kRowTiles][Tile::kTokens / 8];
  using PartsOfGroup = PartSums<Tile::kRowTiles, Tile::kTokens / 8, kGroupWarps>;

 public:
  using Boxes = TokenBoxes<Columns::kPairs, Tile::kRowTiles>;
  static constexpr int kScaleWarps = kGroupWarps - 1;
  // The results of a group, in boxes or in rows.
  static constexpr int kResultBytes =
      kGroupWarps * Tile::kResultFloats * static_cast<int>(sizeof(float));
  static_assert(kResultBytes >= Boxes::kBytes && kResultBytes % 1024 == 0);

  struct Barriers {
    SharedBarrier full[Tile::kStages];  // boxes and scales have arrived
    SharedBarrier empty[Tile::kStages];
    SharedBarrier turn[2];  // of each group
    SharedBarrier met[2];   // of its warps
    bool last[2];           // whether its part of a tile was the last to come

    __device__ void init_all() {
      for (SharedBarrier& one : full) init(one, 2);
      for (SharedBarrier& one : empty) init(one, kGroupWarps);
      for (SharedBarrier& one : turn) init(one, kGroupWarps);
      for (SharedBarrier& one : met) init(one, kGroupWarps);
    }
  };

  __device__ QuantisedProduct(std::byte* shared, Barriers& barriers, const Columns& columns,
                              int tokens, const DeviceMatrix& weights, const Depth& depth)
      : stages_(shared),
        barriers_(barriers),
        columns_of_(columns),
        tokens_(tokens),
        order_(order_of_tiles<Tile::kTokens, Tile::kOutputs>(tokens, weights.out)),
        depth_(depth) {}

  // Of one thread of the block: copies weights and activations of its tiles.
  __device__ void copy(const TensorMap& weights, const TensorMap& x) {
    for (auto at = BlockStep::first(depth_); at.unit < depth_.units() && at.count < Tile::kStages;
         at.next(depth_)) {
      begin_stage(weights, at);
    }
    wait_for_previous_kernel();
    for (auto at = BlockStep::first(depth_); at.unit < depth_.units(); at.next(depth_)) {
      if (at.count >= Tile::kStages) {
        wait_for_empty(at.count);
        begin_stage(weights, at);
      }
#pragma unroll
      for (int i = 0; i < Tile::kBoxes; ++i) {
        copy_box(stage_of(at.count) + i * Tile::kBoxBytes, x, token_of(depth_.tile_of(at.unit)),
                 at.step * Tile::kDepth + i * kBoxDepth, barriers_.full[at.count % Tile::kStages]);
      }
    }
  }

  // Of warp `warp` of kScaleWarps, which take stages in turns: the scale of each run of each row,
  // twice in a register, asked for before the stage is empty.
  __device__ void copy_scales(int warp, const DeviceMatrix& weights) {
    constexpr int kRows = Tile::kOutputs / 32;  // of a lane
    const int group = weights.format.group;
    const int row_scales =
        static_cast<int>(weights.row_bytes / Tile::kBlockBytes * Tile::kDepth / group);
    for (auto at = BlockStep::first(depth_); at.unit < depth_.units(); at.next(depth_)) {
      if (at.count % kScaleWarps != warp) continue;
      std::uint32_t scales[kRows][W::kRuns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int row = row_of(depth_.tile_of(at.unit), static_cast<int>(lane_id()) + 32 * i);
        const BFloat16* const of_row =
            weights.scales + (row < weights.out ? std::int64_t{row} * row_scales : 0);
#pragma unroll
        for (int run = 0; run < W::kRuns; ++run) {
          scales[i][run] = of_row[(at.step * Tile::kDepth + run * kSlice) / group].bits;
        }
      }
      wait_for_empty(at.count);
      auto* const to = reinterpret_cast<std::uint32_t*>(stage_of(at.count) + Tile::kScalesAt);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int run = 0; run < W::kRuns; ++run) {
          store(to + run * Tile::kOutputs + static_cast<int>(lane_id()) + 32 * i,
                Vec<std::uint32_t, 1>{{scales[i][run] | scales[i][run] << 16}});
        }
      }
      __syncwarp();
      if (lane_id() == 0) arrive(barriers_.full[at.count % Tile::kStages]);
    }
  }

  // Of a group of threads, `group` of two: multiplies every second unit of the block. Sums of parts
  // meet in `split`.
  template <class Epilogue>
  __device__ void multiply(int group, std::byte* results, const SplitSums& split,
                           const Epilogue& epilogue) {
    GroupMeeting meeting(barriers_.met[group]);
    [[maybe_unused]] Boxes boxes(results, meeting);
    int done = 0;  // units of the block before this one, and their steps
    int count = 0;
    for (auto unit = static_cast<int>(blockIdx.x); unit < depth_.units();
         unit += static_cast<int>(gridDim.x), ++done) {
      const int first = count;
      count += depth_.end_step(unit) - depth_.first_step(unit);
      if (done % 2 != group) continue;
      // A barrier tells two phases apart and no more: so a group asks for its stages only when all
      // those before have been multiplied.
      if (done > 0) wait(barriers_.turn[group], (done - 1) / 2 % 2);
      Sums sums;
      multiply_unit(unit, first, sums);
      if (lane_id() == 0) arrive(barriers_.turn[1 - group]);
      const int tile = depth_.tile_of(unit);
      if constexpr (Depth::kInParts) {
        if (depth_.spread && !meet_parts(split, unit, meeting, barriers_.last[group], sums)) {
          continue;
        }
      }
      if constexpr (Epilogue::kBoxes) {
        boxes.store(sums, token_of(tile), Columns::kPairs ? column_of(tile) / 2 : column_of(tile),
                    epilogue);
      } else {
        const int warp = static_cast<int>(warp_id()) % kGroupWarps;
        finish_token_rows<Columns::kPairs>(
            sums, reinterpret_cast<float*>(results) + warp * Tile::kResultFloats,
            column_of(tile) + warp * Tile::kWarpOutputs, token_of(tile), tokens_, epilogue);
      }
    }
    if constexpr (Epilogue::kBoxes) boxes.end();
  }

 private:
  // The sums of a unit, whose first step is the block's step `count`.
  __device__ void multiply_unit(int unit, int count, Sums& totals) const {
    if constexpr (Depth::kInParts) {
      Sums sums;
      PartsOfGroup::clear(totals);
      for (int part = depth_.first_part(unit); part < depth_.end_part(unit); ++part) {
        const int steps = depth_.step_of(part + 1) - depth_.step_of(part);
        multiply_steps(count, steps, sums);
        PartsOfGroup::add(totals, sums);
        count += steps;
      }
    } else {
      multiply_steps(count, depth_.steps, totals);
    }
  }

  // The sums of so many steps from the block's step `count` on.
  __device__ void multiply_steps(int count, int steps, Sums& sums) const {
    Rows rows[2];
    const typename Rows::Place place;
    int at = count % Tile::kStages;
    int phase = count / Tile::kStages % 2;
    int before = at;
    for (int step = 0; step < steps; ++step) {
      wait(barriers_.full[at], phase);
      const std::byte* const stage = stages_ + at * Tile::kStageBytes;
      Rows packed[kHalves];
#pragma unroll
      for (int half = 0; half < kHalves; ++half) packed[half].load(stage, place, half);
#pragma unroll
      for (int run = 0; run < W::kRuns; ++run) {
        const typename Rows::Scales scales = Rows::scales_of(stage, place, run);
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          const int product = run * kHalves + half;
          Rows& a = rows[product % 2];
          wait_for_products<1>();  // the registers' last ones are done
          if (product == 1 && step > 0) release(before);
          a.dequantise(packed[half], run, scales);
          const std::uint64_t x =
              advance(descriptor(stage + product / (kBoxDepth / 16) * Tile::kBoxBytes),
                      product % (kBoxDepth / 16));
          fence_products();
#pragma unroll
          for (int i = 0; i < Tile::kRowTiles; ++i) {
            multiply_registers<Tile::kTokens>(sums[i], a.of[i], x, step > 0 || product > 0);
          }
          commit_products();
        }
      }
      before = at++;
      if (at == Tile::kStages) {
        at = 0;
        phase = 1 - phase;
      }
    }
    finish_products(sums);
    release(before);
  }

  // Leaves the group's sums of a part. Whether all parts of the tile are there now: then `sums` are
  // theirs. `last` is the group's, in shared memory.
  __device__ bool meet_parts(const SplitSums& split, int unit, GroupMeeting& meeting, bool& last,
                             Sums& sums) const {
    const PartsOfGroup parts(split, depth_.parts);
    const int tile = depth_.tile_of(unit);
    parts.put(tile, depth_.first_part(unit), sums);
    meeting.meet();
    if (GroupMeeting::thread() == 0) last = parts.count(tile);
    meeting.meet();
    if (!last) return false;
    PartsOfGroup::clear(sums);
    parts.add_all(tile, sums);
    return true;
  }

  __device__ int token_of(int tile) const {
    return order_.at(tile).row * Tile::kTokens;
  }
  __device__ int column_of(int tile) const {
    return order_.at(tile).column * Tile::kOutputs;
  }
  // The row of weights that is row `at` of a tile.
  __device__ int row_of(int tile, int at) const {
    return columns_of_.template row<Tile::kOutputs>(column_of(tile), at);
  }
  __device__ std::byte* stage_of(int count) const {
    return stages_ + count % Tile::kStages * Tile::kStageBytes;
  }
  // Expects the boxes of a stage, and copies the weights.
  __device__ void begin_stage(const TensorMap& weights, const BlockStep& step) const {
    SharedBarrier& full = barriers_.full[step.count % Tile::kStages];
    arrive_expecting(full, Tile::kScalesAt);
    std::byte* const to = stage_of(step.count) + Tile::kWeightsAt;
    const int box = columns_of_.template box_rows<Tile::kOutputs>();
    for (int at = 0; at < Tile::kOutputs; at += box) {
      copy_box(to + at * Tile::kBlockBytes, weights, row_of(depth_.tile_of(step.unit), at),
               step.step * kNarrowBoxDepth, full);
    }
  }
  __device__ void wait_for_empty(int count) const {
    const int round = count / Tile::kStages;
    if (round > 0) wait(barriers_.empty[count % Tile::kStages], (round - 1) % 2);
  }
  // A warp is done with a stage.
  __device__ void release(int stage) const {
    if (lane_id() == 0) arrive(barriers_.empty[stage]);
  }

  std::byte* stages_;
  Barriers& barriers_;
  Columns columns_of_;
  int tokens_;
  TileOrder order_;  // of rows of tokens
  Depth depth_;
};

template <class Tile, class Columns, class Depth, class Epilogue>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    quantised_product(const __grid_constant__ TensorMap words, const __grid_constant__ TensorMap x,
                      Columns columns, DeviceMatrix weights, Depth depth, SplitSums split,
                      const __grid_constant__ Epilogue epilogue, int tokens) {
  if constexpr (kHopper) {
    using Product = QuantisedProduct<Tile, Columns, Depth>;
    constexpr int kRegisters[2] = {224, 56};  // of a thread that multiplies, and of one that copies
    static_assert(suffice_for_three_groups(kRegisters));
    check_launch_bounds<Tile::kThreads>();
    auto& barriers = static_shared<typename Product::Barriers>();
    std::byte* shared = dynamic_shared<std::byte>();
    shared +=
        (Tile::kAlign - reinterpret_cast<std::uintptr_t>(shared) % Tile::kAlign) % Tile::kAlign;
    if (threadIdx.x == 0) barriers.init_all();
    __syncthreads();
    Product product(shared, barriers, columns, tokens, weights, depth);
    const int group = group_id<Tile::kGroupThreads>();
    if (group == 2) {
      give_registers<kRegisters[1]>();
      const int warp = static_cast<int>(warp_id()) % 4;
      if (threadIdx.x % Tile::kGroupThreads == 0) product.copy(words, x);
      if (warp > 0) product.copy_scales(warp - 1, weights);
      wait_for_previous_kernel();
    } else {
      take_registers<kRegisters[0]>();
      wait_for_previous_kernel();
      allow_next_kernel();
      product.multiply(group,
                       shared + Tile::kStages * Tile::kStageBytes + group * Product::kResultBytes,
                       split, epilogue);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
