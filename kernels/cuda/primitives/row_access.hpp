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
  if (!aligned || count < 8) {
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = i < count ? to_float(from[i]) : 0.0F;
  } else if constexpr (sizeof(T) == 2) {
    const auto pairs = load16(reinterpret_cast<const std::uint32_t*>(from));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const Pair two = unpack<T>(pairs[i]);
      to[2 * i] = two.first;
      to[2 * i + 1] = two.second;
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
      const Vec<T, 4> piece = load<4>(from + i);
#pragma unroll
      for (int j = 0; j < 4; ++j) to[i + j] = piece[j];
    }
  }
}
template <class T>
__device__ inline void store8(T* to, bool aligned, int count, const float (&from)[8]) {
  if (!aligned || count < 8) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) to[i] = from_float<T>(from[i]);
    }
  } else if constexpr (sizeof(T) == 2) {
    Vec<std::uint32_t, 4> pairs;
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = pack<T>(from[2 * i], from[2 * i + 1]);
    store(reinterpret_cast<std::uint32_t*>(to), pairs);
  } else {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
      store(to + i, Vec<T, 4>{{from[i], from[i + 1], from[i + 2], from[i + 3]}});
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
