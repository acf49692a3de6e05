// A GEMM for compute capability 9.0: C [m, n] = A [m, depth] B [n, depth]^T by wgmma, fed by the
// tensor memory accelerator.
//
// Blocks are persistent over tiles of kM x kN. One warp copies stages of 64 of the depth ahead; two
// groups of four warps multiply. They take tiles in turns, so that the epilogue of one runs under
// the products of the other, or share each tile by its rows, which may then be so many that a stage
// is read from L2 for twice the products. A stage is full when its bytes have arrived, and empty
// when each warp that multiplies it, or measures its rows for a norm (hopper_norm.hpp), is done.
//
// The first stages of B, which are weights, are asked for before the previous kernel has ended.
// An output's sum has the same order in tiles of every size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper_columns.hpp"
#include "kernels/cuda/gemm/hopper_norm.hpp"
#include "kernels/cuda/gemm/hopper_store.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <int m, int n, int stages>
struct HopperTile {
  static constexpr int kM = m;
  static constexpr int kN = n;
  static constexpr int kStages = stages;
  // Whether the groups share a tile, and how many otherwise take tiles in turns.
  static constexpr bool kShared = m > 128;
  static constexpr int kTurns = kShared ? 1 : 2;
  static constexpr int kGroupRows = kShared ? m / 2 : m;
  static constexpr int kRowTiles = kGroupRows / 64;
  static constexpr int kGroupThreads = 128;
  static constexpr int kThreads = 3 * kGroupThreads;  // two groups multiply, one copies
  static constexpr int kRowBytes = kBoxDepth * static_cast<int>(sizeof(BFloat16));
  static constexpr int kBytesA = m * kRowBytes;
  static constexpr int kStageBytes = kBytesA + n * kRowBytes;
  static constexpr int kWarps = 8;  // that multiply
  static constexpr int kAlign = 1024;
  static constexpr int kResultFloats = ResultRows<n, true>::kFloats;  // the larger ones
  static constexpr int kSharedBytes =
      kAlign + stages * kStageBytes + kWarps * kResultFloats * static_cast<int>(sizeof(float));
  static_assert(kGroupRows % 64 == 0 && kStageBytes % kAlign == 0);
  static_assert(kResultFloats * sizeof(float) >= BoxedRows<n>::kBuffers * BoxedRows<n>::kBytes &&
                kResultFloats * sizeof(float) % kAlign == 0);
};

template <class Tile, class Columns, class Norm>
class HopperProduct {
  static constexpr int kGroupWarps = Tile::kGroupThreads / 32;
  static constexpr int kTileWarps = kGroupWarps * (Tile::kShared ? 2 : 1);  // that multiply a stage
  static constexpr int kMeasuringWarps = Norm::kMeasures ? kGroupWarps - 1 : 0;

 public:
  struct Barriers {
    SharedBarrier full[Tile::kStages];
    SharedBarrier empty[Tile::kStages];
    SharedBarrier turn[2];  // of each group
    // Of two tiles in turns: the rows are measured, and epilogues have used that.
    SharedBarrier measured[2];
    SharedBarrier taken[2];

    __device__ void init_all() {
      for (SharedBarrier& one : full) init(one, 1);
      for (SharedBarrier& one : empty) init(one, kTileWarps + kMeasuringWarps);
      for (SharedBarrier& one : turn) init(one, kGroupWarps);
      if constexpr (Norm::kMeasures) {
        for (SharedBarrier& one : measured) init(one, kMeasuringWarps);
        for (SharedBarrier& one : taken) init(one, kTileWarps);
      }
    }
  };
  struct Measured {
    RowScales<Tile::kM> of_turn[2];
  };

  __device__ HopperProduct(std::byte* shared, Barriers& barriers, const Columns& columns, int m,
                           int n, int depth)
      : stages_(shared),
        barriers_(barriers),
        columns_of_(columns),
        m_(m),
        steps_((depth + kBoxDepth - 1) / kBoxDepth),
        order_(order_of_tiles<Tile::kM, Tile::kN>(m, n)),
        tiles_(order_.tiles()) {}

  // Of one thread of the block: copies the stages of its tiles.
  __device__ void copy(const TensorMap& a, const TensorMap& b) {
    for (BlockStep at = BlockStep::first(); at.tile < tiles_ && at.count < Tile::kStages;
         at.next(steps_)) {
      begin_stage(b, at);
    }
    wait_for_previous_kernel();
    for (BlockStep at = BlockStep::first(); at.tile < tiles_; at.next(steps_)) {
      const int round = at.count / Tile::kStages;
      if (round > 0) {
        wait(barriers_.empty[at.count % Tile::kStages], (round - 1) % 2);
        begin_stage(b, at);
      }
      copy_box(stage_of(at.count), a, row_of(at.tile), at.step * kBoxDepth,
               barriers_.full[at.count % Tile::kStages]);
    }
  }

  // Of warp `warp` of those that measure: the rows of the block's tiles.
  __device__ void measure(int warp, const Norm& norm, int depth, Measured& measured) {
    int count = 0;
    int done = 0;
    for (int tile = first_tile(); tile < tiles_; tile += static_cast<int>(gridDim.x), ++done) {
      RowMeasure<Tile::kM, Norm> rows(warp);
      for (int step = 0; step < steps_; ++step, ++count) {
        wait_for_full(count);
        rows.add(stage_of(count));
        __syncwarp();
        release(count);
      }
      const int turn = done % 2;
      if (done > 1) wait(barriers_.taken[turn], (done / 2 - 1) % 2);
      rows.write(norm, depth, measured.of_turn[turn]);
      __syncwarp();
      if (lane_id() == 0) arrive(barriers_.measured[turn]);
    }
  }

  // Of a group of threads, `group` of two: multiplies every second tile of the block, or half of
  // each.
  template <class Epilogue>
  __device__ void multiply(int group, float* results, const Norm& norm,
                           [[maybe_unused]] const Measured* measured, const Epilogue& epilogue) {
    const int grid = static_cast<int>(gridDim.x);
    const int row_in_tile = Tile::kShared ? group * Tile::kGroupRows : 0;
    int done = Tile::kShared ? 0 : group;  // tiles of the block before this one
    for (int tile = first_tile() + done * grid; tile < tiles_;
         tile += Tile::kTurns * grid, done += Tile::kTurns) {
      FragmentC sums[Tile::kRowTiles][Tile::kN / 8];
      // A barrier tells two phases apart and no more: so a group asks for its stages only when all
      // those before have been multiplied.
      if (!Tile::kShared && done > 0) wait(barriers_.turn[group], (done - 1) / 2 % 2);
      for (int step = 0; step < steps_; ++step) {
        const int count = done * steps_ + step;
        wait_for_full(count);
        const std::byte* const stage = stage_of(count);
        const std::uint64_t rows = descriptor(stage + row_in_tile * Tile::kRowBytes);
        const std::uint64_t cols = descriptor(stage + Tile::kBytesA);
        fence_products();
#pragma unroll
        for (int k = 0; k < kBoxDepth / 16; ++k) {
#pragma unroll
          for (int i = 0; i < Tile::kRowTiles; ++i) {
            multiply_shared<Tile::kN>(sums[i], advance(rows, k) + i * kRowTileUnits,
                                      advance(cols, k), step > 0 || k > 0);
          }
        }
        commit_products();
        wait_for_products<1>();
        if (step > 0) release(count - 1);
      }
      wait_for_products<0>();
      release(done * steps_ + steps_ - 1);
      if (!Tile::kShared && lane_id() == 0) arrive(barriers_.turn[1 - group]);
      const int turn = done % 2;
      if constexpr (Norm::kMeasures) wait(barriers_.measured[turn], done / 2 % 2);
      const RowScales<Tile::kM>* const scales =
          Norm::kMeasures ? &measured->of_turn[turn] : nullptr;
      const NormOfTile<Tile::kM, Norm> norms{norm, scales, row_of(tile)};
      const int row = row_of(tile) + row_in_tile + static_cast<int>(warp_id()) % kGroupWarps * 16;
      finish(sums, results, row, column_of(tile), done / Tile::kTurns, norms, epilogue);
      if constexpr (Norm::kMeasures) {
        __syncwarp();
        if (lane_id() == 0) arrive(barriers_.taken[turn]);
      }
    }
    if constexpr (Epilogue::kBoxes) {
      if (lane_id() == 0) wait_for_stores<0>();
    }
  }

 private:
  // From one 64 rows of A to the next, in a descriptor's units.
  static constexpr std::uint64_t kRowTileUnits = 64 * Tile::kRowBytes / 16;

  __device__ static int first_tile() {
    return static_cast<int>(blockIdx.x);
  }
  __device__ std::byte* stage_of(int count) const {
    return stages_ + count % Tile::kStages * Tile::kStageBytes;
  }
  __device__ int row_of(int tile) const {
    return order_.at(tile).row * Tile::kM;
  }
  __device__ int column_of(int tile) const {
    return order_.at(tile).column * Tile::kN;
  }

  // Expects all of a stage, and copies B.
  __device__ void begin_stage(const TensorMap& b, const BlockStep& at) const {
    SharedBarrier& full = barriers_.full[at.count % Tile::kStages];
    arrive_expecting(full, Tile::kStageBytes);
    std::byte* const to = stage_of(at.count) + Tile::kBytesA;
    const int box = columns_of_.template box_rows<Tile::kN>();
    for (int column = 0; column < Tile::kN; column += box) {
      copy_box(to + column * Tile::kRowBytes, b,
               columns_of_.template row<Tile::kN>(column_of(at.tile), column), at.step * kBoxDepth,
               full);
    }
  }
  __device__ void wait_for_full(int count) const {
    wait(barriers_.full[count % Tile::kStages], count / Tile::kStages % 2);
  }
  // A warp is done with the stage of the block's step `count`.
  __device__ void release(int count) const {
    if (lane_id() == 0) arrive(barriers_.empty[count % Tile::kStages]);
  }

  // Hands a warp's fragments to the epilogue, the first of `before` times as many.
  template <class Norms, class Epilogue>
  __device__ void finish(const FragmentC (&sums)[Tile::kRowTiles][Tile::kN / 8], float* results,
                         int row, int column, int before, const Norms& norms,
                         const Epilogue& epilogue) const {
    if constexpr (Epilogue::kBoxes) {
      store_fragments(sums, reinterpret_cast<std::byte*>(results), before * Tile::kRowTiles, row,
                      Epilogue::kPairs ? column / 2 : column, norms, epilogue);
    } else {
#pragma unroll
      for (int i = 0; i < Tile::kRowTiles; ++i) {
        const FragmentC(&part)[1][Tile::kN / 8] =
            *reinterpret_cast<const FragmentC(*)[1][Tile::kN / 8]>(&sums[i]);
        finish_fragments<Columns::kPairs>(part, results, row + 64 * i, column, m_,
                                          AfterNorm<Norms, Epilogue>{norms, epilogue});
      }
    }
  }

  std::byte* stages_;
  Barriers& barriers_;
  Columns columns_of_;
  int m_;
  int steps_;
  TileOrder order_;
  int tiles_;
};

template <class Tile, class Columns, class Norm, class Epilogue>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    hopper_product(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                   Columns columns, Norm norm, const __grid_constant__ Epilogue epilogue, int m,
                   int n, int depth) {
  if constexpr (kHopper) {
    using Product = HopperProduct<Tile, Columns, Norm>;
    static_assert(suffice_for_three_groups(Norm::kRegisters));
    check_launch_bounds<Tile::kThreads>();
    auto& barriers = static_shared<typename Product::Barriers>();
    typename Product::Measured* measured = nullptr;
    if constexpr (Norm::kMeasures) measured = &static_shared<typename Product::Measured>();
    std::byte* shared = dynamic_shared<std::byte>();
    shared +=
        (Tile::kAlign - reinterpret_cast<std::uintptr_t>(shared) % Tile::kAlign) % Tile::kAlign;
    if (threadIdx.x == 0) barriers.init_all();
    __syncthreads();
    Product product(shared, barriers, columns, m, n, depth);
    const int group = static_cast<int>(threadIdx.x) / Tile::kGroupThreads;
    if (group == 2) {
      give_registers<Norm::kRegisters[1]>();
      if (threadIdx.x % Tile::kGroupThreads == 0) {
        product.copy(a, b);
      } else {
        wait_for_previous_kernel();
      }
      if constexpr (Norm::kMeasures) {
        const int warp = static_cast<int>(warp_id()) % 4;
        if (warp > 0) product.measure(warp - 1, norm, depth, *measured);
      }
    } else {
      take_registers<Norm::kRegisters[0]>();
      wait_for_previous_kernel();
      allow_next_kernel();
      float* const results = reinterpret_cast<float*>(shared + Tile::kStages * Tile::kStageBytes) +
                             static_cast<int>(warp_id()) * Tile::kResultFloats;
      product.multiply(group, results, norm, measured, epilogue);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
