// Dequantises 16 bytes of a stored row of weights to floats, for every format of weight_format.hpp.
//
// They are kRuns runs of kRun consecutive inputs. For a floating-point format that is one run; for
// integers the eight words are, shifted by n * bits, run n, whose inputs begin n * kSlice further.
//
// An integer becomes a float without a conversion instruction, whose throughput is low: with its
// sign bit inverted it is q + 2^(bits - 1), not negative, and as the mantissa below the exponent of
// 2^23 it is the float 2^23 + that, exactly.
#pragma once

#include <cstdint>
#include <type_traits>

#include "fvlm/ops/weight_format.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

using WeightType = WeightFormat::Type;
using WeightWords = Vec<std::uint32_t, 4>;

template <WeightType kType>
struct Weights {
  static constexpr int kBits = WeightFormat{kType}.bits();
  static constexpr bool kQuantised = kBits < 16;
  static constexpr int kRuns = kQuantised ? 16 / kBits : 1;
  static constexpr int kRun = kBits == 32 ? 4 : 8;
  static constexpr int kCount = kRuns * kRun;

  // The first input of run n of vector v of a row.
  __device__ static int input(int v, int n) {
    if constexpr (!kQuantised) return v * kRun;
    constexpr int kSlice = WeightFormat::kSlice;
    constexpr int kVectors = kSlice * 2 / 16;  // of a block
    return v / kVectors * (kRuns * kSlice) + n * kSlice + v % kVectors * kRun;
  }

  // Run n, without scale.
  __device__ static void unpack(const WeightWords& words, int n, float (&to)[kRun]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t word = words[i];
      if constexpr (kType == WeightType::kF32) {
        to[i] = __uint_as_float(word);
      } else if constexpr (kType == WeightType::kBF16) {
        to[2 * i] = __uint_as_float(word << 16);
        to[2 * i + 1] = __uint_as_float(word & 0xffff0000U);
      } else if constexpr (kType == WeightType::kF16) {
        const Pair pair = FVLM_CUDA_TARGET::unpack<Float16>(word);
        to[2 * i] = pair.first;
        to[2 * i + 1] = pair.second;
      } else {
        to[2 * i] = integer(word >> (n * kBits));
        to[2 * i + 1] = integer(word >> (n * kBits + 16));
      }
    }
  }

  // The integers of run n in two neighbouring words, which are two neighbouring inputs, exact in
  // bfloat16. That has seven bits below the first: 128 + u is u below the exponent of 2^7.
  __device__ static std::uint32_t integer_pair(std::uint32_t words, int n) {
    static_assert(kQuantised);
    constexpr std::uint32_t kExponents = 0x43004300U;
    words >>= n * kBits;
    if constexpr (kBits == 4) {  // q + 8 is not negative
      constexpr std::uint32_t kMask = 0x000f000fU;
      constexpr std::uint32_t kSigns = 0x00080008U;
      constexpr std::uint32_t kOffset = 0xc308c308U;  // -(128 + 8)
      return multiply_add_pair(and_xor(words, kMask, kExponents | kSigns), kOnes, kOffset);
    } else {  // the low seven bits, less 128 if the sign bit is set: that bit doubles the 128
      static_assert(kBits == 8);
      const std::uint32_t low = and_xor(words, 0x007f007fU, kExponents);
      const std::uint32_t sign = and_xor(words, 0x00800080U, kExponents);
      return multiply_add_pair(sign, kMinusOnes, low);
    }
  }

  // The integer in the lowest bits.
  __device__ static float integer(std::uint32_t word) {
    constexpr std::uint32_t kMask = (1U << (kBits & 15)) - 1;
    constexpr std::uint32_t kSign = (kMask + 1) / 2;
    constexpr std::uint32_t kExponent = 0x4b000000U;  // of 2^23
    return __uint_as_float((word & kMask) ^ (kExponent | kSign)) -
           __uint_as_float(kExponent | kSign);
  }

 private:
  static constexpr std::uint32_t kOnes = 0x3f803f80U;  // of bfloat16
  static constexpr std::uint32_t kMinusOnes = 0xbf80bf80U;
};

// f(std::integral_constant<WeightType, type>()): from a value at run time to a template argument.
template <class F>
void for_weight_type(WeightType type, F&& f) {
  switch (type) {
    case WeightType::kF32:
      return f(std::integral_constant<WeightType, WeightType::kF32>());
    case WeightType::kF16:
      return f(std::integral_constant<WeightType, WeightType::kF16>());
    case WeightType::kBF16:
      return f(std::integral_constant<WeightType, WeightType::kBF16>());
    case WeightType::kInt8:
      return f(std::integral_constant<WeightType, WeightType::kInt8>());
    case WeightType::kInt4:
      return f(std::integral_constant<WeightType, WeightType::kInt4>());
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
