// Elements to float32 and back, alone and in pairs: the conversions of core/element.hpp in one or
// two instructions of a device, with the same results but for the bits of a NaN.
#pragma once

#include <cstdint>
#include <type_traits>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

__device__ inline float to_float(float x) {
  return x;
}

__device__ inline float to_float(BFloat16 x) {
#ifdef __CUDACC__
  return __uint_as_float(static_cast<std::uint32_t>(x.bits) << 16);
#else
  return static_cast<float>(x);
#endif
}

__device__ inline float to_float(Float16 x) {
#ifdef __CUDACC__
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#else
  return static_cast<float>(x);
#endif
}

// E is float, BFloat16 or Float16; rounds to nearest, ties to even.
template <class E>
__device__ inline E from_float(float x);

template <>
__device__ inline float from_float<float>(float x) {
  return x;
}

template <>
__device__ inline BFloat16 from_float<BFloat16>(float x) {
#ifdef __CUDACC__
  BFloat16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  return BFloat16(x);
#endif
}

template <>
__device__ inline Float16 from_float<Float16>(float x) {
#ifdef __CUDACC__
  Float16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  return Float16(x);
#endif
}

// a b + c, fused on a device in every instantiation of a kernel, so that results do not depend on
// which of them runs.
__device__ inline float multiply_add(float a, float b, float c) {
#ifdef __CUDACC__
  return __fmaf_rn(a, b, c);
#else
  return a * b + c;
#endif
}

// Two elements of 16 bits in one register, as matrix fragments hold them: the first in the low
// half.
struct Pair {
  float first;
  float second;
};

template <class E>
__device__ inline std::uint32_t pack(float first, float second) {
  static_assert(sizeof(E) == 2);
#ifdef __CUDACC__
  std::uint32_t bits;
  if constexpr (std::is_same_v<E, BFloat16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  }
  return bits;
#else
  return from_float<E>(first).bits | static_cast<std::uint32_t>(from_float<E>(second).bits) << 16;
#endif
}

template <class E>
__device__ inline Pair unpack(std::uint32_t bits) {
  static_assert(sizeof(E) == 2);
#ifdef __CUDACC__
  if constexpr (std::is_same_v<E, BFloat16>) {
    return {__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000U)};
  }
#endif
  E first;
  E second;
  first.bits = static_cast<std::uint16_t>(bits & 0xffffU);
  second.bits = static_cast<std::uint16_t>(bits >> 16);
  return {to_float(first), to_float(second)};
}

// (a & b) ^ c in one instruction.
__device__ inline std::uint32_t and_xor(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
#ifdef __CUDACC__
  std::uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
#else
  return (a & b) ^ c;
#endif
}

// a b + c of two bfloat16's each, rounded once; a b alone.
__device__ inline std::uint32_t multiply_add_pair(std::uint32_t a, std::uint32_t b,
                                                  std::uint32_t c) {
#ifdef __CUDACC__
  std::uint32_t result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
#else
  const Pair x = unpack<BFloat16>(a);
  const Pair y = unpack<BFloat16>(b);
  const Pair z = unpack<BFloat16>(c);
  return pack<BFloat16>(x.first * y.first + z.first, x.second * y.second + z.second);
#endif
}
__device__ inline std::uint32_t multiply_pair(std::uint32_t a, std::uint32_t b) {
  constexpr std::uint32_t kMinusZeros = 0x80008000U;  // which change no sign
  return multiply_add_pair(a, b, kMinusZeros);
}

}  // namespace fvlm::FVLM_CUDA_TARGET
