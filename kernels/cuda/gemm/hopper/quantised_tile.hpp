// A tile of a GEMM with int8 or int4 weights on compute capability 9.0 (quantised_product.hpp):
// what a stage holds, and how a warp takes its rows of weights from there and dequantises them.
//
// A stage has one block of each row of weights (weight_format.hpp), packed as it is stored, and the
// activations of its inputs, both copied by TMA; and the rows' scales, which other warps of the
// copying group store. A block is what ldmatrix reads: the words of a lane's two adjacent inputs
// are one register, of every run. Four instructions dequantise a register of two, sixteen for 64
// tokens or more to be multiplied with.
//
// A weight is scale * q, rounded to bfloat16 once, as in token_tile.hpp. To scale the sums of each
// group in float32 instead would take a second set of accumulators and an FMA for each, at group
// 64 four times the instructions of dequantising, and a wait for the products of every group.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper/columns.hpp"
#include "kernels/cuda/gemm/hopper/quantised_store.hpp"
#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

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

  // Of a warp; a group has at once those of its four, for boxes.
  static constexpr int kResultFloats = TokenRows<kWarpOutputs>::kFloats;
  static constexpr int kFixedBytes =
      kAlign + kWarps * kResultFloats * static_cast<int>(sizeof(float));
  static constexpr int kMostBytes = 226 << 10;  // with room for barriers
  static constexpr int kStages = std::min(8, (kMostBytes - kFixedBytes) / kStageBytes);
  static constexpr int kSharedBytes = kFixedBytes + kStages * kStageBytes;
  static_assert(outputs % 64 == 0 && tokens % TokenRows<kWarpOutputs>::kTokens == 0);
};

// The rows of weights that a warp multiplies at once: 16 of each row tile.
template <class Tile, class Columns>
struct QuantisedRows {
  using W = typename Tile::W;
  struct Scales {
    std::uint32_t of[Tile::kRowTiles][2];  // rows g and g + 8
  };

  FragmentA<BFloat16> of[Tile::kRowTiles];

  // Rows of a stage from one row tile of a warp to the next, and from its row g to g + 8: a warp's
  // outputs are adjacent, and of pairs the upper rows have the second ones.
  static constexpr int kRowsBetween = Columns::kPairs ? 8 : 16;
  static constexpr int kUpperRow = Columns::kPairs ? Tile::kOutputs / 2 : 8;

  // Row of the stage that is row 8 * upper + `of_eight` of a warp's first row tile.
  __device__ static int row_in_stage(int upper, int of_eight) {
    const int warp = static_cast<int>(warp_id()) % 4;
    return warp * kRowsBetween * Tile::kRowTiles + upper * kUpperRow + of_eight;
  }

  // Where in a stage a lane loads from: its first row for ldmatrix, and its first row's scale.
  struct Place {
    int weights;
    int scales;

    __device__ Place() {
      const int lane = static_cast<int>(lane_id());
      const int row = row_in_stage(lane / 8 % 2, lane % 8);
      weights = Tile::kWeightsAt + row * Tile::kBlockBytes + (lane / 16 ^ row / 2 % 4) * 16;
      scales =
          Tile::kScalesAt + row_in_stage(0, lane / 4) * static_cast<int>(sizeof(std::uint32_t));
    }
  };

  // Half of the words of blocks, packed. Eight rows of 64 bytes have no bank conflicts: see the
  // swizzle of narrow boxes, which is the same in all row tiles.
  __device__ void load(const std::byte* stage, const Place& place, int half) {
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
      ldmatrix(of[i].reg,
               stage + (place.weights ^ half * 32) + i * kRowsBetween * Tile::kBlockBytes);
    }
  }
  __device__ static Scales scales_of(const std::byte* stage, const Place& place, int run) {
    const auto* const from = reinterpret_cast<const std::uint32_t*>(stage + place.scales);
    Scales scales;
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        scales.of[i][upper] = FVLM_CUDA_TARGET::load<1>(from + run * Tile::kOutputs +
                                                        i * kRowsBetween + upper * kUpperRow)[0];
      }
    }
    return scales;
  }
  // The weights of run `run` of packed ones.
  __device__ void dequantise(const QuantisedRows& packed, int run, const Scales& scales) {
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        of[i].reg[r] =
            multiply_pair(W::integer_pair(packed.of[i].reg[r], run), scales.of[i][r % 2]);
      }
    }
  }
};

}  // namespace fvlm::FVLM_CUDA_TARGET
