// How a skinny GEMM (skinny_gemm.hpp) is divided among warps and blocks, and what each keeps in
// registers and shared memory.
//
// The rows of W are divided into segments, each a warp's. Two segments are a part, whose sums are
// added, and then the parts' in order. Both follow from the matrix alone, so that a result has the
// same bits however many tokens there are.
//
// Of up to eight tokens a block has all parts. Of more the tokens are most of what is read, from
// L2: so each part gets a block of its own, with more outputs, whose warps share the tokens of two
// segments.
#pragma once

#include <algorithm>
#include <bit>

#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/rms_norm.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// How a GEMM is divided among warps and blocks.
struct SkinnyPlan {
  int segments = 1;        // of the depth, each a warp's
  int block_segments = 1;  // of a block: all, or those of a part
  int groups = 1;          // of so many warps in a block; each has tiles of outputs of its own
  SplitSums split{};       // of parts in blocks of their own

  static constexpr int kPartSegments = 2;

  __host__ __device__ constexpr int block_warps() const { return block_segments * groups; }
  __host__ __device__ constexpr int splits() const { return segments / block_segments; }
  __host__ __device__ constexpr int parts_of_block() const {
    return block_segments / kPartSegments > 1 ? block_segments / kPartSegments : 1;
  }
};

// kGroup: WeightFormat::group. kRows: 8, 16, 32 or 64 tokens. kTiles: of eight outputs, of one
// warp.
template <WeightType kType, int kGroup, int kRows, int kTiles>
struct SkinnyShape {
  static constexpr int kOutputs = 8;  // of a tile
  static constexpr int kTilePairs = kOutputs / 2;
  static constexpr int kPairs = kTiles * kTilePairs;  // of a group
  static constexpr int kTokens = kRows;
  static constexpr int kMostWarps = 8;
  static constexpr int kTokenTiles = kRows <= 16 ? 1 : kRows / 16;
  // Steps whose weights are on their way: 8 vectors of 16 bytes a lane; 4 of quantised weights,
  // with scales beside them, as registers allow.
  static constexpr int kAhead = (Weights<kType>::kQuantised ? 4 : 8) / kTiles;
  // Bytes of a row of W that a warp takes in a step: those of four lanes.
  static constexpr int kStepBytes = 64;
  // Fragments of sums, and of quantised weights of products that are not scaled yet. With few of
  // them in registers the next kernel's blocks fit on an SM beside this one's; not so beside the
  // many scales of int4 in groups of 32.
  static constexpr int kSums = kTokenTiles * kTiles * (Weights<kType>::kQuantised ? 2 : 1);
  static constexpr bool kManyScales = kType == WeightType::kInt4 && kGroup == 32;
  static constexpr int kBlocks = kRows <= 16 || (kSums <= 4 && !kManyScales) ? 2 : 1;
  // Whether a matrix's parts have blocks of their own.
  static constexpr bool kSplits = kRows > 8;

  // Of a warp's sums; four more keep the groups of a part apart in the banks.
  static constexpr int kWarpFloats = kTiles * kRows * kOutputs + 4;

  static constexpr int block_outputs(const SkinnyPlan& plan) {
    return plan.groups * kTiles * kOutputs;
  }
  static constexpr int sum_floats(const SkinnyPlan& plan) {
    return plan.block_warps() * kWarpFloats;
  }
};

// Tokens that a block normalises.
struct NormedTokens {
  static constexpr int kRows = 8;
  static constexpr int kPadding = 32;  // elements between rows, against bank conflicts

  static constexpr int stride(int channels) { return channels + kPadding; }
  // Of the parts of the norms and the rows behind them.
  static constexpr int bytes(int channels) {
    return kRows * (kNormParts * static_cast<int>(sizeof(float)) +
                    stride(channels) * static_cast<int>(sizeof(BFloat16)));
  }
};

// The segments, of the matrix alone: as many warps as a large device runs at once, if there are
// steps for them; a power of two.
inline int skinny_segments(int outputs, int row_bytes) {
  constexpr unsigned kEnoughWarps = 2048;
  constexpr unsigned kMostWarps = SkinnyShape<WeightType::kBF16, 0, 8, 1>::kMostWarps;
  constexpr int kStepBytes = SkinnyShape<WeightType::kBF16, 0, 8, 1>::kStepBytes;
  const auto tiles = static_cast<unsigned>((outputs + 7) / 8);
  const auto steps = static_cast<unsigned>((row_bytes + kStepBytes - 1) / kStepBytes);
  return static_cast<int>(std::min({std::bit_ceil((kEnoughWarps + tiles - 1) / tiles),
                                    std::bit_floor(std::max(steps, 1U)), kMostWarps}));
}

}  // namespace fvlm::FVLM_CUDA_TARGET
