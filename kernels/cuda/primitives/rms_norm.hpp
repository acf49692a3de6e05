// RMS norm of a row, in parts that warps add up on their own, eight adjacent elements a lane.
// Wherever a row is normalised, by a kernel of its own or while it is loaded by a GEMM, it comes
// out with the same bits.
#pragma once

#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/row_access.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

inline constexpr int kNormParts = 8;
inline constexpr int kNormVector = 8;               // elements of a lane
inline constexpr int kNormStep = 32 * kNormVector;  // of a warp

// The sum of squares of one of the parts of a row, by a warp: every kNormParts-th 256 elements.
template <class E>
__device__ inline float norm_part(const E* row, int channels, bool aligned, int part) {
  float sum = 0;
  for (int c = part * kNormStep + static_cast<int>(lane_id()) * kNormVector; c < channels;
       c += kNormParts * kNormStep) {
    float x[kNormVector];
    load8(row + c, aligned, channels - c, x);
#pragma unroll
    for (const float value : x) sum = multiply_add(value, value, sum);
  }
  return warp_sum(sum);
}

// 1 / rms of a row from its parts.
__device__ inline float norm_scale(const float* parts, int channels, float eps) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kNormParts; ++i) sum += parts[i];
  return rsqrtf(sum / static_cast<float>(channels) + eps);
}

// Eight elements of a row from column `c` on, normalised; zeros stand in for what is beyond.
template <class E>
__device__ inline void load_normalised(const E* row, int c, int channels, bool aligned, float scale,
                                       const float* weight, float (&to)[kNormVector]) {
  float weights[kNormVector];
  load8(row + c, aligned, channels - c, to);
  load8(weight + c, true, channels - c, weights);
#pragma unroll
  for (int i = 0; i < kNormVector; ++i) to[i] = to[i] * scale * weights[i];
}

}  // namespace fvlm::FVLM_CUDA_TARGET
