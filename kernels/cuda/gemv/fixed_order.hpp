// Arithmetic with the same bits in every instantiation of a kernel, so that a result does not
// depend on the batch size.
#pragma once

#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// a b + c, fused on a device in every instantiation.
__device__ inline float multiply_add(float a, float b, float c) {
#ifdef __CUDACC__
  return __fmaf_rn(a, b, c);
#else
  return a * b + c;
#endif
}

// Sums of `kCount` values over a warp; lane i gets that of value i / (32 / kCount). Each value adds
// up in the same order, whatever kCount is. Counts are template arguments all the way down, so that
// the values stay in registers.
template <int kCount, int kStep = 16, int kAll>
__device__ inline float warp_sums(float (&values)[kAll]) {
  static_assert(kCount <= 32 && (kCount & (kCount - 1)) == 0);
  if constexpr (kCount > 1) {
    const bool upper = (lane_id() & static_cast<unsigned>(kStep)) != 0;
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const float kept = upper ? values[i + kCount / 2] : values[i];
      const float given = upper ? values[i] : values[i + kCount / 2];
      values[i] = kept + __shfl_xor_sync(kAllLanes, given, kStep);
    }
  } else {
    values[0] += __shfl_xor_sync(kAllLanes, values[0], kStep);
  }
  if constexpr (kStep > 1) {
    return warp_sums<(kCount > 1 ? kCount / 2 : 1), kStep / 2>(values);
  } else {
    return values[0];
  }
}

// N elements as floats.
template <int N, class E>
__device__ inline void load_floats(const E* from, float (&to)[N]) {
  constexpr int kEach = static_cast<int>(16 / sizeof(E));
  if constexpr (N * sizeof(E) < 16) {
    const auto v = load<N>(from);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = to_float(v[i]);
  } else {
#pragma unroll
    for (int part = 0; part < N; part += kEach) {
      const auto v = load16(from + part);
#pragma unroll
      for (int i = 0; i < kEach; ++i) to[part + i] = to_float(v[i]);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
