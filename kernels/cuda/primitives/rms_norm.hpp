// RMS norm of a row, in parts that warps add up on their own. Wherever a row is normalised, by a
// kernel of its own or while it is loaded by a GEMM, it comes out with the same bits.
#pragma once

#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

inline constexpr int kNormParts = 8;

// The sum of squares of one of the parts of a row, by a warp.
template <class E>
__device__ inline float norm_part(const E* row, int channels, int part) {
  const int end = (part + 1) * channels / kNormParts;
  float sum = 0;
  for (int c = part * channels / kNormParts + static_cast<int>(lane_id()); c < end; c += 32) {
    const float value = to_float(row[c]);
    sum = multiply_add(value, value, sum);
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

__device__ inline float normalised(float value, float scale, float weight) {
  return value * scale * weight;
}

}  // namespace fvlm::FVLM_CUDA_TARGET
