// The fused stem in float32. A block computes a tile of [kRows, kCols] positions of the result and,
// in shared memory, the positions of the first convolution under it, with a halo, of which adjacent
// blocks compute some again. A lane has kPerLane channels, 32 apart, and their 27 weights in
// registers, and computes four adjacent positions at once from pixels that all lanes read together.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

struct PlainStem {
  static constexpr int kThreads = 256;
  static constexpr int kPerLane = 3;  // FastViTHD has 96 channels here
  static constexpr int kChannels = 32 * kPerLane;
  static constexpr int kRows = 4;  // of the result
  static constexpr int kCols = 8;
  static constexpr int kMidRows = 2 * kRows + 1;  // of the first convolution
  static constexpr int kRun = 4;
  static constexpr int kMidCols = (2 * kCols + 1 + kRun - 1) / kRun * kRun;
  static constexpr int kPixelRows = 2 * kMidRows + 1;
  static constexpr int kPixelCols = 2 * kMidCols + 1;
  static constexpr int kPixelStride = (kPixelCols * 3 + 3) / 4 * 4;
  static constexpr int kRunPixels = (2 * kRun + 1) * 3;  // of a row, under a run

  float pixels[kPixelRows * kPixelStride];
  float mid[kMidRows * kMidCols * kChannels];
};

__global__ void __launch_bounds__(PlainStem::kThreads)
    plain_stem(const std::uint8_t* pixels, int side, const float* conv_weight,
               const float* conv_bias, const float* weight, const float* bias, float* out,
               int channels) {
  using Tile = PlainStem;
  check_launch_bounds<Tile::kThreads>();
  auto& tile = *dynamic_shared<Tile>();
  const int lane = static_cast<int>(lane_id());
  const int warp = static_cast<int>(warp_id());
  constexpr int kWarps = Tile::kThreads / 32;
  const int mid_side = side / 2;
  const int out_side = side / 4;
  const int tiles_x = (out_side + Tile::kCols - 1) / Tile::kCols;
  const int y0 = static_cast<int>(blockIdx.y) / tiles_x * Tile::kRows;
  const int x0 = static_cast<int>(blockIdx.y) % tiles_x * Tile::kCols;
  const std::int64_t image = blockIdx.z;
  const int c0 = static_cast<int>(blockIdx.x) * Tile::kChannels;

  wait_for_previous_kernel();
  allow_next_kernel();
  const std::uint8_t* const from = pixels + image * side * side * 3;
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kPixelRows * Tile::kPixelStride;
       i += Tile::kThreads) {
    const int y = 4 * y0 - 3 + i / Tile::kPixelStride;
    const int x = (4 * x0 - 3) * 3 + i % Tile::kPixelStride;  // counts bytes
    const bool inside = y >= 0 && y < side && x >= 0 && x < side * 3;
    tile.pixels[i] = inside ? static_cast<float>(from[std::int64_t{y} * side * 3 + x]) : 0.0F;
  }
  __syncthreads();

  {
    float taps[27][Tile::kPerLane];
    float start[Tile::kPerLane];
#pragma unroll
    for (int j = 0; j < Tile::kPerLane; ++j) {
      const int c = c0 + lane + 32 * j;
      start[j] = c < channels ? conv_bias[c] : 0.0F;
#pragma unroll
      for (int t = 0; t < 27; ++t) taps[t][j] = c < channels ? conv_weight[t * channels + c] : 0.0F;
    }
    constexpr int kRuns = Tile::kMidCols / Tile::kRun;
    for (int run = warp; run < Tile::kMidRows * kRuns; run += kWarps) {
      const int row = run / kRuns;
      const int col = run % kRuns * Tile::kRun;
      float sums[Tile::kRun][Tile::kPerLane];
#pragma unroll
      for (int i = 0; i < Tile::kRun; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kPerLane; ++j) sums[i][j] = start[j];
      }
#pragma unroll
      for (int ky = 0; ky < 3; ++ky) {
        float values[(Tile::kRunPixels + 3) / 4 * 4];
        const float* const line = tile.pixels + (2 * row + ky) * Tile::kPixelStride + col * 6;
#pragma unroll
        for (int v = 0; v < Tile::kRunPixels; v += 4) {
          const Vec16<float> four = load16(line + v);
#pragma unroll
          for (int k = 0; k < 4; ++k) values[v + k] = four[k];
        }
#pragma unroll
        for (int i = 0; i < Tile::kRun; ++i) {
#pragma unroll
          for (int t = 0; t < 9; ++t) {
#pragma unroll
            for (int j = 0; j < Tile::kPerLane; ++j) {
              sums[i][j] += values[i * 6 + t] * taps[ky * 9 + t][j];
            }
          }
        }
      }
      const int y = 2 * y0 - 1 + row;
#pragma unroll
      for (int i = 0; i < Tile::kRun; ++i) {
        const int x = 2 * x0 - 1 + col + i;
        const bool inside = y >= 0 && y < mid_side && x >= 0 && x < mid_side;
#pragma unroll
        for (int j = 0; j < Tile::kPerLane; ++j) {
          tile.mid[(row * Tile::kMidCols + col + i) * Tile::kChannels + lane + 32 * j] =
              inside ? gelu<float>(sums[i][j]) : 0.0F;
        }
      }
    }
  }
  __syncthreads();

#pragma unroll
  for (int j = 0; j < Tile::kPerLane; ++j) {
    const int c = c0 + lane + 32 * j;
    if (c >= channels) break;
    float taps[9];
#pragma unroll
    for (int t = 0; t < 9; ++t) taps[t] = weight[t * channels + c];
    const float start = bias[c];
    for (int i = warp; i < Tile::kRows * Tile::kCols; i += kWarps) {
      const int row = i / Tile::kCols;
      const int col = i % Tile::kCols;
      if (y0 + row >= out_side || x0 + col >= out_side) continue;
      float sum = start;
#pragma unroll
      for (int t = 0; t < 9; ++t) {
        sum += taps[t] *
               tile.mid[((2 * row + t / 3) * Tile::kMidCols + 2 * col + t % 3) * Tile::kChannels +
                        lane + 32 * j];
      }
      out[((image * out_side + y0 + row) * out_side + x0 + col) * channels + c] = gelu<float>(sum);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
