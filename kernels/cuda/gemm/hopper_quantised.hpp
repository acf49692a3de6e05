// A GEMM of tokens with int8 or int4 weights for compute capability 9.0, by wgmma, transposed:
// C^T [outputs, tokens] = W [outputs, depth] X [tokens, depth]^T. So weights are the operand that
// wgmma takes from registers, where they are dequantised, and never written to memory as bfloat16.
//
// A stage has one block of each row of weights (weight_format.hpp), packed as it is stored, and the
// activations of its inputs, both copied by TMA; and the rows' scales, which other warps of the
// copying group store. A block is what ldmatrix reads: the words of a lane's two adjacent inputs
// are one register, of every run. While the products of some inputs go on, the next ones' weights
// are dequantised: four instructions for a register of two, sixteen for 64 tokens or more to be
// multiplied with.
//
// A weight is scale * q, rounded to bfloat16 once, as in token_tile.hpp. To scale the sums of each
// group in float32 instead would take a second set of accumulators and an FMA for each, at group
// 64 four times the instructions of dequantising, and a wait for the products of every group.
//
// Blocks are persistent, and two groups of four warps take tiles in turns, as in
// hopper_product.hpp. An output's sum has the same order in tiles of every size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper_columns.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Rows of float32 in shared memory, a token each, on the way from fragments to the epilogue. Their
// padding keeps stores of fragments and loads of eight adjacent outputs clear of bank conflicts.
template <int outputs>
struct TokenRows {
  static constexpr int kTokens = 32;
  static constexpr int kStride = outputs + 4;
  static constexpr int kFloats = kTokens * kStride;
};

template <WeightType kType, int outputs, int tokens>
struct QuantisedTile {
  using W = Weights<kType>;
  static constexpr int kOutputs = outputs;
  static constexpr int kTokens = tokens;
  static constexpr int kRowTiles = outputs / 64;
  static constexpr int kWarpOutputs = 16 * kRowTiles;
  static constexpr int kDepth = W::kRuns * static_cast<int>(WeightFormat::kSlice);  // of a stage
  static constexpr int kGroupThreads = 128;
  static constexpr int kThreads = 3 * kGroupThreads;  // two groups multiply, one copies
  static constexpr int kWarps = 8;                    // that multiply

  // Of a stage: activations, weights, scales.
  static constexpr int kRowBytes = kBoxDepth * static_cast<int>(sizeof(BFloat16));
  static constexpr int kBoxBytes = tokens * kRowBytes;
  static constexpr int kBoxes = kDepth / kBoxDepth;
  static constexpr int kBlockBytes = kNarrowBoxDepth * static_cast<int>(sizeof(BFloat16));
  static constexpr int kWeightsAt = kBoxes * kBoxBytes;
  static constexpr int kScalesAt = kWeightsAt + outputs * kBlockBytes;
  static constexpr int kAlign = 1024;
  static constexpr int kStageBytes =
      (kScalesAt + outputs * W::kRuns * static_cast<int>(sizeof(std::uint32_t)) + kAlign - 1) /
      kAlign * kAlign;

  static constexpr int kResultFloats = TokenRows<kWarpOutputs>::kFloats;
  static constexpr int kFixedBytes =
      kAlign + kWarps * kResultFloats * static_cast<int>(sizeof(float));
  static constexpr int kMostBytes = 226 << 10;  // with room for barriers
  static constexpr int kStages = std::min(8, (kMostBytes - kFixedBytes) / kStageBytes);
  static constexpr int kSharedBytes = kFixedBytes + kStages * kStageBytes;
  static_assert(outputs % 64 == 0 && tokens % TokenRows<kWarpOutputs>::kTokens == 0);
};

template <class Tile, class Columns>
class QuantisedProduct {
  using W = typename Tile::W;
  static constexpr int kGroupWarps = Tile::kGroupThreads / 32;
  static constexpr int kHalves = 2;  // of a run: what a product takes
  static constexpr int kSlice = static_cast<int>(WeightFormat::kSlice);

 public:
  static constexpr int kScaleWarps = kGroupWarps - 1;

  struct Barriers {
    SharedBarrier full[Tile::kStages];  // boxes and scales have arrived
    SharedBarrier empty[Tile::kStages];
    SharedBarrier turn[2];  // of each group

    __device__ void init_all() {
      for (SharedBarrier& one : full) init(one, 2);
      for (SharedBarrier& one : empty) init(one, kGroupWarps);
      for (SharedBarrier& one : turn) init(one, kGroupWarps);
    }
  };

  __device__ QuantisedProduct(std::byte* shared, Barriers& barriers, const Columns& columns,
                              int tokens, const DeviceMatrix& weights)
      : stages_(shared),
        barriers_(barriers),
        columns_of_(columns),
        tokens_(tokens),
        steps_((weights.in + Tile::kDepth - 1) / Tile::kDepth),
        token_tiles_((tokens + Tile::kTokens - 1) / Tile::kTokens),
        tiles_(token_tiles_ * ((weights.out + Tile::kOutputs - 1) / Tile::kOutputs)) {}

  // Of one thread of the block: copies weights and activations of its tiles.
  __device__ void copy(const TensorMap& weights, const TensorMap& x) {
    each_stage([&](int tile, int step, int count) {
      wait_for_empty(count);
      std::byte* const stage = stage_of(count);
      SharedBarrier& full = barriers_.full[count % Tile::kStages];
      arrive_expecting(full, Tile::kScalesAt);
      const int box = columns_of_.template box_rows<Tile::kOutputs>();
      for (int at = 0; at < Tile::kOutputs; at += box) {
        copy_box(stage + Tile::kWeightsAt + at * Tile::kBlockBytes, weights, row_of(tile, at),
                 step * kNarrowBoxDepth, full);
      }
#pragma unroll
      for (int i = 0; i < Tile::kBoxes; ++i) {
        copy_box(stage + i * Tile::kBoxBytes, x, token_of(tile),
                 step * Tile::kDepth + i * kBoxDepth, full);
      }
    });
  }

  // Of warp `warp` of kScaleWarps, which take stages in turns: the scale of each run of each row,
  // twice in a register, asked for before the stage is empty.
  __device__ void copy_scales(int warp, const DeviceMatrix& weights) {
    constexpr int kRows = Tile::kOutputs / 32;  // of a lane
    const int group = weights.format.group;
    const int row_scales =
        static_cast<int>(weights.row_bytes / Tile::kBlockBytes * Tile::kDepth / group);
    each_stage([&](int tile, int step, int count) {
      if (count % kScaleWarps != warp) return;
      std::uint32_t scales[kRows][W::kRuns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int row = row_of(tile, static_cast<int>(lane_id()) + 32 * i);
        const BFloat16* const of_row =
            weights.scales + (row < weights.out ? std::int64_t{row} * row_scales : 0);
#pragma unroll
        for (int run = 0; run < W::kRuns; ++run) {
          scales[i][run] = of_row[(step * Tile::kDepth + run * kSlice) / group].bits;
        }
      }
      wait_for_empty(count);
      std::uint32_t* const to = scales_of(stage_of(count));
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int run = 0; run < W::kRuns; ++run) {
          store(to + run * Tile::kOutputs + static_cast<int>(lane_id()) + 32 * i,
                Vec<std::uint32_t, 1>{{scales[i][run] | scales[i][run] << 16}});
        }
      }
      __syncwarp();
      if (lane_id() == 0) arrive(barriers_.full[count % Tile::kStages]);
    });
  }

  // Of a group of threads, `group` of two: multiplies every second tile of the block.
  template <class Epilogue>
  __device__ void multiply(int group, float* results, const Epilogue& epilogue) {
    const int grid = static_cast<int>(gridDim.x);
    int done = group;  // tiles of the block before this one
    for (int tile = first_tile() + group * grid; tile < tiles_; tile += 2 * grid, done += 2) {
      FragmentC sums[Tile::kRowTiles][Tile::kTokens / 8];
      Rows rows[2];
      // A barrier tells two phases apart and no more: so a group asks for its stages only when all
      // those before have been multiplied.
      if (done > 0) wait(barriers_.turn[group], (done - 1) / 2 % 2);
      for (int step = 0; step < steps_; ++step) {
        const int count = done * steps_ + step;
        wait(barriers_.full[count % Tile::kStages], count / Tile::kStages % 2);
        const std::byte* const stage = stage_of(count);
        Rows packed[kHalves];
#pragma unroll
        for (int half = 0; half < kHalves; ++half) load(packed[half], stage, half);
#pragma unroll
        for (int run = 0; run < W::kRuns; ++run) {
          RowScales scales;
          load(scales, stage, run);
#pragma unroll
          for (int half = 0; half < kHalves; ++half) {
            const int product = run * kHalves + half;
            Rows& a = rows[product % 2];
            wait_for_products<1>();  // the registers' last ones are done
            if (product == 1 && step > 0) release(count - 1);
            dequantise(packed[half], run, scales, a);
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
      }
      wait_for_products<0>();
      release(done * steps_ + steps_ - 1);
      if (lane_id() == 0) arrive(barriers_.turn[1 - group]);
      finish(sums, results, tile, epilogue);
    }
  }

 private:
  // What a warp multiplies at once: 16 rows of each row tile.
  struct Rows {
    FragmentA<BFloat16> of[Tile::kRowTiles];
  };
  struct RowScales {
    std::uint32_t of[Tile::kRowTiles][2];  // rows g and g + 8
  };

  __device__ static int first_tile() {
    return static_cast<int>(blockIdx.x);
  }
  __device__ static int warp_of_group() {
    return static_cast<int>(warp_id()) % kGroupWarps;
  }
  // Adjacent tiles share weights.
  __device__ int token_of(int tile) const {
    return tile % token_tiles_ * Tile::kTokens;
  }
  __device__ int column_of(int tile) const {
    return tile / token_tiles_ * Tile::kOutputs;
  }
  // The row of weights that is row `at` of a tile.
  __device__ int row_of(int tile, int at) const {
    return columns_of_.template row<Tile::kOutputs>(column_of(tile), at);
  }
  // f(tile, step, number of the stage in the block's order).
  template <class F>
  __device__ void each_stage(const F& f) const {
    int count = 0;
    for (int tile = first_tile(); tile < tiles_; tile += static_cast<int>(gridDim.x)) {
      for (int step = 0; step < steps_; ++step, ++count) f(tile, step, count);
    }
  }
  __device__ std::byte* stage_of(int count) const {
    return stages_ + count % Tile::kStages * Tile::kStageBytes;
  }
  __device__ static std::uint32_t* scales_of(std::byte* stage) {
    return reinterpret_cast<std::uint32_t*>(stage + Tile::kScalesAt);
  }
  __device__ static const std::uint32_t* scales_of(const std::byte* stage) {
    return reinterpret_cast<const std::uint32_t*>(stage + Tile::kScalesAt);
  }
  __device__ void wait_for_empty(int count) const {
    const int round = count / Tile::kStages;
    if (round > 0) wait(barriers_.empty[count % Tile::kStages], (round - 1) % 2);
  }
  // A warp is done with the stage of the block's step `count`.
  __device__ void release(int count) const {
    if (lane_id() == 0) arrive(barriers_.empty[count % Tile::kStages]);
  }

  // Row of the stage that is row 8 * upper + `of_eight` of a warp's row tile: a warp's outputs are
  // adjacent, and of pairs the upper rows have the second ones.
  __device__ static int row_in_stage(int row_tile, int upper, int of_eight) {
    if constexpr (Columns::kPairs) {
      return upper * Tile::kOutputs / 2 + (warp_of_group() * Tile::kRowTiles + row_tile) * 8 +
             of_eight;
    } else {
      return warp_of_group() * Tile::kWarpOutputs + row_tile * 16 + upper * 8 + of_eight;
    }
  }

  // Half of the words of blocks, packed. Eight rows of 64 bytes have no bank conflicts: see the
  // swizzle of narrow boxes.
  __device__ static void load(Rows& packed, const std::byte* stage, int half) {
    const int lane = static_cast<int>(lane_id());
    const int piece = 2 * half + lane / 16;
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
      const int row = row_in_stage(i, lane / 8 % 2, lane % 8);
      ldmatrix(packed.of[i].reg,
               stage + Tile::kWeightsAt + row * Tile::kBlockBytes + (piece ^ row / 2 % 4) * 16);
    }
  }
  __device__ static void load(RowScales& scales, const std::byte* stage, int run) {
    const std::uint32_t* const from = scales_of(stage) + run * Tile::kOutputs;
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int row = row_in_stage(i, upper, static_cast<int>(lane_id()) / 4);
        scales.of[i][upper] = FVLM_CUDA_TARGET::load<1>(from + row)[0];
      }
    }
  }
  __device__ static void dequantise(const Rows& packed, int run, const RowScales& scales,
                                    Rows& rows) {
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        rows.of[i].reg[r] =
            multiply_pair(W::integer_pair(packed.of[i].reg[r], run), scales.of[i][r % 2]);
      }
    }
  }

  // Hands a warp's sums to the epilogue, by way of its own `scratch`: eight adjacent outputs of a
  // token at a time, with those of pairs side by side.
  template <class Epilogue>
  __device__ void finish(const FragmentC (&sums)[Tile::kRowTiles][Tile::kTokens / 8],
                         float* scratch, int tile, const Epilogue& epilogue) const {
    using Buffer = TokenRows<Tile::kWarpOutputs>;
    constexpr int kPieces = Tile::kWarpOutputs / kEpilogueCols;
    constexpr int kTokensAtOnce = 32 / kPieces;
    const int lane = static_cast<int>(lane_id());
    const int column = column_of(tile) + warp_of_group() * Tile::kWarpOutputs;
#pragma unroll
    for (int first = 0; first < Tile::kTokens; first += Buffer::kTokens) {
#pragma unroll
      for (int j = 0; j < Buffer::kTokens / 8; ++j) {
#pragma unroll
        for (int i = 0; i < Tile::kRowTiles; ++i) {
          write(sums[i][first / 8 + j], scratch + 8 * j * Buffer::kStride + 16 * i);
        }
      }
      __syncwarp();
#pragma unroll
      for (int n = 0; n < Buffer::kTokens; n += kTokensAtOnce) {
        const int in_buffer = n + lane % kTokensAtOnce;
        const int piece = lane / kTokensAtOnce * kEpilogueCols;
        float values[kEpilogueCols];
#pragma unroll
        for (int half = 0; half < kEpilogueCols; half += 4) {
          const auto four =
              FVLM_CUDA_TARGET::load<4>(scratch + in_buffer * Buffer::kStride + piece + half);
#pragma unroll
          for (int k = 0; k < 4; ++k) values[half + k] = four[k];
        }
        const int token = token_of(tile) + first + in_buffer;
        if (token < tokens_) epilogue(token, column + piece, values);
      }
      __syncwarp();
    }
  }
  // A fragment [16 outputs, 8 tokens] to rows of tokens.
  __device__ static void write(const FragmentC& c, float* scratch) {
    constexpr int kStride = TokenRows<Tile::kWarpOutputs>::kStride;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float* const to = scratch + FragmentC::col(i) * kStride;
      if constexpr (Columns::kPairs) {
        store(to + 2 * FragmentC::row(i), Vec<float, 2>{{c.reg[i], c.reg[i + 2]}});
      } else {
        store(to + FragmentC::row(i), Vec<float, 1>{{c.reg[i]}});
        store(to + FragmentC::row(i + 2), Vec<float, 1>{{c.reg[i + 2]}});
      }
    }
  }

  std::byte* stages_;
  Barriers& barriers_;
  Columns columns_of_;
  int tokens_;
  int steps_;
  int token_tiles_;
  int tiles_;
};

template <class Tile, class Columns>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    quantised_product(const __grid_constant__ TensorMap words, const __grid_constant__ TensorMap x,
                      Columns columns, DeviceMatrix weights, TokenOutput<BFloat16> epilogue,
                      int tokens) {
  if constexpr (kHopper) {
    using Product = QuantisedProduct<Tile, Columns>;
    constexpr int kRegisters[2] = {224, 56};  // of a thread that multiplies, and of one that copies
    check_launch_bounds<Tile::kThreads>();
    auto& barriers = static_shared<typename Product::Barriers>();
    std::byte* shared = dynamic_shared<std::byte>();
    shared +=
        (Tile::kAlign - reinterpret_cast<std::uintptr_t>(shared) % Tile::kAlign) % Tile::kAlign;
    if (threadIdx.x == 0) barriers.init_all();
    __syncthreads();
    wait_for_previous_kernel();
    allow_next_kernel();
    Product product(shared, barriers, columns, tokens, weights);
    const int group = static_cast<int>(threadIdx.x) / Tile::kGroupThreads;
    if (group == 2) {
      give_registers<kRegisters[1]>();
      const int warp = static_cast<int>(warp_id()) % 4;
      if (threadIdx.x % Tile::kGroupThreads == 0) product.copy(words, x);
      if (warp > 0) product.copy_scales(warp - 1, weights);
    } else {
      take_registers<kRegisters[0]>();
      float* const results = reinterpret_cast<float*>(shared + Tile::kStages * Tile::kStageBytes) +
                             static_cast<int>(warp_id()) * Tile::kResultFloats;
      product.multiply(group, results, epilogue);
    }
  }
}

template <class Tile, class Columns>
void launch_quantised_product(Stream<kTarget>& stream, int multiprocessors,
                              const TokenInput<BFloat16>& input, const Columns& columns,
                              const TokenOutput<BFloat16>& output) {
  const DeviceMatrix& w = input.weights;
  const std::int64_t tiles = (std::int64_t{input.rows} + Tile::kTokens - 1) / Tile::kTokens *
                             ((w.out + Tile::kOutputs - 1) / Tile::kOutputs);
  const View<const BFloat16> words{reinterpret_cast<const BFloat16*>(w.weight), w.out,
                                   w.row_bytes / 2, w.row_bytes / 2};
  const View<const BFloat16> x{input.x, input.rows, w.in, input.stride};
  launch<quantised_product<Tile, Columns>>(
      Launch{.grid = std::min<std::int64_t>(tiles, multiprocessors),
             .block = Tile::kThreads,
             .shared_bytes = Tile::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      tensor_map<kTarget>(words, columns.template box_rows<Tile::kOutputs>(), kNarrowBoxDepth),
      tensor_map<kTarget>(x, Tile::kTokens), columns, w, output, input.rows);
}

// `tile` is an index of kQuantisedTiles, or kTileByRule.
template <WeightType kType, class Columns>
void multiply_quantised(Stream<kTarget>& stream, int multiprocessors,
                        const TokenInput<BFloat16>& input, const Columns& columns,
                        const TokenOutput<BFloat16>& output, int tile = kTileByRule) {
  const auto multiply = [&]<class Tile>() {
    launch_quantised_product<Tile>(stream, multiprocessors, input, columns, output);
  };
  if (tile == kTileByRule) {
    tile = best_quantised_tile(input.weights.out, input.rows, multiprocessors);
  }
  switch (tile) {
    case 0:
      return multiply.template operator()<QuantisedTile<kType, 128, 128>>();
    case 1:
      return multiply.template operator()<QuantisedTile<kType, 128, 64>>();
    default:
      return multiply.template operator()<QuantisedTile<kType, 64, 64>>();
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
