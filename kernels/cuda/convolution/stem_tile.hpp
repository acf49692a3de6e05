// The fused stem in bfloat16, its first convolution on tensor cores. A block computes a tile of
// [kRows, kCols] positions of the result and, in shared memory, the positions of the first
// convolution under it, with a halo, of which adjacent blocks compute some again.
//
// The first convolution is a GEMM: 16 positions by the 3 * 3 * 3 pixels under each, by a channel's
// weights. Of the three rows of pixels a pair of adjacent ones is a register of A: nine in pairs
// are five, the last with a weight of zero. Pixels are exact in bfloat16; a weight is the sum of
// two bfloat16's, so it loses nothing that the result would show.
#pragma once

#include <cstdint>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

struct StemTile {
  static constexpr int kChannels = 96;  // as many as FastViTHD has here
  static constexpr int kPairs = kChannels / 2;
  static constexpr int kRows = 8;  // of the result
  static constexpr int kCols = 8;
  static constexpr int kMidRows = 2 * kRows + 1;  // of the first convolution
  static constexpr int kMidCols = 2 * kCols + 1;
  static constexpr int kMids = kMidRows * kMidCols;
  static constexpr int kRowTiles = (kMids + 15) / 16;
  static constexpr int kPixelRows = 2 * kMidRows + 1;
  static constexpr int kPixelCols = (2 * kMidCols + 1) * 3;
  static constexpr int kPixelStride =
      kPixelCols + 3;                               // even, and the pair of the last one is there
  static constexpr int kMidStride = kChannels + 8;  // of a position: no bank conflicts

  // Warps: kParts of the channels by kGroups of the positions.
  static constexpr int kParts = 2;
  static constexpr int kGroups = 3;
  static constexpr int kThreads = kParts * kGroups * 32;
  static constexpr int kBlocks = 3;  // at once on an SM, as registers allow
  static constexpr int kColTiles = kChannels / kParts / 8;
  // A thread has the same pair of channels of every kEvery-th position of the result.
  static constexpr int kEvery = kThreads / kPairs;
  static_assert(kThreads % kPairs == 0 && kRows * kCols % kEvery == 0);

  static constexpr int kTaps = 27;
  static constexpr int kRowTaps = 9;
  static constexpr int kRowPairs = (kRowTaps + 1) / 2;
  static constexpr int kSteps = 2;  // of 16 along the depth
  static_assert(3 * kRowPairs < 8 * kSteps);

  BFloat16 pixels[kPixelRows * kPixelStride];
  BFloat16 mid[16 * kRowTiles * kMidStride];
  float conv_bias[kChannels];
};

// The pixels under a tile from (y, x) on, which may be beyond the image: zero there.
__device__ inline void fetch_pixels(StemTile& tile, const std::uint8_t* image, int side, int y0,
                                    int x0) {
  for (int i = static_cast<int>(threadIdx.x); i < StemTile::kPixelRows * StemTile::kPixelStride;
       i += StemTile::kThreads) {
    const int y = y0 + i / StemTile::kPixelStride;
    const int x = 3 * x0 + i % StemTile::kPixelStride;  // counts bytes
    const bool inside = y >= 0 && y < side && x >= 0 && x < 3 * side;
    const float pixel = inside ? static_cast<float>(image[std::int64_t{y} * 3 * side + x]) : 0.0F;
    tile.pixels[i] = from_float<BFloat16>(pixel);
  }
}

// Where the pair of pixels that a register of A holds is, from the first one under a position on:
// pair 4 * quarter + lane % 4 of the depth.
__device__ inline int pair_offset(int quarter) {
  const int pair = min(4 * quarter + static_cast<int>(lane_id()) % 4, 3 * StemTile::kRowPairs - 1);
  return pair / StemTile::kRowPairs * StemTile::kPixelStride + pair % StemTile::kRowPairs * 2;
}

// Weights of the first convolution as two operands B, whose sum they are.
struct StemWeights {
  FragmentB<BFloat16> high[StemTile::kSteps][StemTile::kColTiles];
  FragmentB<BFloat16> low[StemTile::kSteps][StemTile::kColTiles];

  // Of the channels from c0 on, of `channels` in all.
  __device__ StemWeights(const float* weight, int c0, int channels) {
#pragma unroll
    for (int quarter = 0; quarter < 2 * StemTile::kSteps; ++quarter) {
      const int pair = 4 * quarter + static_cast<int>(lane_id()) % 4;
      const int in_row = pair % StemTile::kRowPairs * 2;
      const int tap = pair / StemTile::kRowPairs * StemTile::kRowTaps + in_row;
#pragma unroll
      for (int j = 0; j < StemTile::kColTiles; ++j) {
        const int c = c0 + 8 * j + static_cast<int>(lane_id()) / 4;
        const bool first = c < channels && tap < StemTile::kTaps;
        const bool second = first && in_row + 1 < StemTile::kRowTaps;
        const float a = first ? weight[tap * channels + c] : 0.0F;
        const float b = second ? weight[(tap + 1) * channels + c] : 0.0F;
        const std::uint32_t rounded = pack<BFloat16>(a, b);
        const Pair two = unpack<BFloat16>(rounded);
        high[quarter / 2][j].reg[quarter % 2] = rounded;
        low[quarter / 2][j].reg[quarter % 2] = pack<BFloat16>(a - two.first, b - two.second);
      }
    }
  }
};

__global__ void __launch_bounds__(StemTile::kThreads, StemTile::kBlocks)
    stem_tile(const std::uint8_t* pixels, int side, const float* conv_weight,
              const float* conv_bias, const float* weight, const float* bias, BFloat16* out,
              int channels) {
  using Tile = StemTile;
  check_launch_bounds<Tile::kThreads>();
  auto& tile = *dynamic_shared<Tile>();
  const int warp = static_cast<int>(warp_id());
  const int mid_side = side / 2;
  const int out_side = side / 4;
  const int tiles_x = (out_side + Tile::kCols - 1) / Tile::kCols;
  const int y0 = static_cast<int>(blockIdx.y) / tiles_x * Tile::kRows;
  const int x0 = static_cast<int>(blockIdx.y) % tiles_x * Tile::kCols;
  const std::int64_t image = blockIdx.z;
  const int c0 = static_cast<int>(blockIdx.x) * Tile::kChannels;

  for (int i = static_cast<int>(threadIdx.x); i < Tile::kChannels; i += Tile::kThreads) {
    tile.conv_bias[i] = c0 + i < channels ? conv_bias[c0 + i] : 0.0F;
  }
  const int part = warp % Tile::kParts * 8 * Tile::kColTiles;
  const StemWeights weights(conv_weight, c0 + part, channels);
  wait_for_previous_kernel();
  allow_next_kernel();
  fetch_pixels(tile, pixels + image * side * side * 3, side, 4 * y0 - 3, 4 * x0 - 3);
  __syncthreads();

  const int offsets[4] = {pair_offset(0), pair_offset(1), pair_offset(2), pair_offset(3)};
#pragma unroll 1
  for (int t = warp / Tile::kParts; t < Tile::kRowTiles; t += Tile::kGroups) {
    // A lane's positions: rows g and g + 8 of the fragments.
    const int first = 16 * t + FragmentC::row(0);
    FragmentA<BFloat16> a[Tile::kSteps];
    bool inside[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int mid = min(first + 8 * half, Tile::kMids - 1);
      const int row = mid / Tile::kMidCols;
      const int col = mid % Tile::kMidCols;
      const int y = 2 * y0 - 1 + row;
      const int x = 2 * x0 - 1 + col;
      inside[half] = y >= 0 && y < mid_side && x >= 0 && x < mid_side;
      const BFloat16* const from = tile.pixels + 2 * row * Tile::kPixelStride + 6 * col;
#pragma unroll
      for (int quarter = 0; quarter < 4; ++quarter) {
        a[quarter / 2].reg[quarter % 2 * 2 + half] =
            load<1>(reinterpret_cast<const std::uint32_t*>(from + offsets[quarter]))[0];
      }
    }
#pragma unroll
    for (int j = 0; j < Tile::kColTiles; ++j) {
      const int c = part + 8 * j + FragmentC::col(0);
      const Vec<float, 2> start = load<2>(tile.conv_bias + c);
      FragmentC sums{{start[0], start[1], start[0], start[1]}};
#pragma unroll
      for (int step = 0; step < Tile::kSteps; ++step) {
        mma(sums, a[step], weights.low[step][j]);
        mma(sums, a[step], weights.high[step][j]);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* const two = sums.reg + 2 * half;
        const std::uint32_t values = pack<BFloat16>(gelu<BFloat16>(two[0]), gelu<BFloat16>(two[1]));
        store(
            reinterpret_cast<std::uint32_t*>(tile.mid + (first + 8 * half) * Tile::kMidStride + c),
            Vec<std::uint32_t, 1>{{inside[half] ? values : 0}});
      }
    }
  }
  __syncthreads();

  const int in_tile = static_cast<int>(threadIdx.x) % Tile::kPairs * 2;
  const int c = c0 + in_tile;
  if (c >= channels) return;
  const bool both = c + 1 < channels;
  Pair taps[9];
#pragma unroll
  for (int t = 0; t < 9; ++t) {
    taps[t] = {weight[t * channels + c], both ? weight[t * channels + c + 1] : 0.0F};
  }
  const Pair start = {bias[c], both ? bias[c + 1] : 0.0F};
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x) / Tile::kPairs; i < Tile::kRows * Tile::kCols;
       i += Tile::kEvery) {
    const int row = i / Tile::kCols;
    const int col = i % Tile::kCols;
    if (y0 + row >= out_side || x0 + col >= out_side) continue;
    Pair sum = start;
#pragma unroll
    for (int t = 0; t < 9; ++t) {
      const int mid = (2 * row + t / 3) * Tile::kMidCols + 2 * col + t % 3;
      const Pair two = unpack<BFloat16>(load<1>(
          reinterpret_cast<const std::uint32_t*>(tile.mid + mid * Tile::kMidStride + in_tile))[0]);
      sum.first += taps[t].first * two.first;
      sum.second += taps[t].second * two.second;
    }
    BFloat16* const to = out + ((image * out_side + y0 + row) * out_side + x0 + col) * channels + c;
    const float first = gelu<BFloat16>(sum.first);
    const float second = gelu<BFloat16>(sum.second);
    if (channels % 2 == 0) {
      store(reinterpret_cast<std::uint32_t*>(to),
            Vec<std::uint32_t, 1>{{pack<BFloat16>(first, second)}});
    } else {
      to[0] = from_float<BFloat16>(first);
      if (both) to[1] = from_float<BFloat16>(second);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
