// Eight neighbouring elements of a row at once, as float32, whatever its alignment and its end.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Eight elements from or to memory as float32, through 16-byte accesses if `aligned`, else one by
// one up to `count`.
template <class T>
__device__ inline void load8(const T* from, bool aligned, int count, float (&to)[8]) {
  constexpr int kEach = 16 / static_cast<int>(sizeof(T));
  if (aligned && count >= 8) {
#pragma unroll
    for (int i = 0; i < 8; i += kEach) {
      const Vec16<T> piece = load16(from + i);
#pragma unroll
      for (int j = 0; j < kEach; ++j) to[i + j] = to_float(piece[j]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = i < count ? to_float(from[i]) : 0.0F;
  }
}
template <class T>
__device__ inline void store8(T* to, bool aligned, int count, const float (&from)[8]) {
  constexpr int kEach = 16 / static_cast<int>(sizeof(T));
  if (aligned && count >= 8) {
#pragma unroll
    for (int i = 0; i < 8; i += kEach) {
      Vec16<T> piece;
#pragma unroll
      for (int j = 0; j < kEach; ++j) piece[j] = from_float<T>(from[i + j]);
      store16(to + i, piece);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) to[i] = from_float<T>(from[i]);
    }
  }
}

// Whether rows of eight elements can be moved 16 bytes at a time.
template <class T>
inline bool is_aligned(const T* data, std::int64_t stride) {
  return stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

}  // namespace fvlm::FVLM_CUDA_TARGET
