// Rows of weights in the formats of weight_format.hpp: plain code that defines them. Results are
// the same to the bit everywhere, unless the compiler contracts a product and a sum into one
// operation: build what includes this with -ffp-contract=off, as we do, to get our integers.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "fvlm/core/element.hpp"
#include "fvlm/ops/weight_format.hpp"

namespace fvlm {

namespace detail {

// The words of slice `s` of a row begin at `word`, and its weights in them at bit `shift`.
struct SlicePlace {
  std::int64_t word;
  int shift;
};
constexpr SlicePlace slice_place(std::int64_t s, int bits) {
  const std::int64_t in_word = 16 / bits;
  return {s / in_word * WeightFormat::kSlice, static_cast<int>(s % in_word) * bits};
}

// The integers of a format, and the shares of the scale that maps a group's largest weight to
// `low` among which the one of least error is chosen.
struct Integers {
  float low, high;
  std::span<const float> shares;
};
inline Integers integers_of(WeightFormat::Type type) {
  // With the few steps of int4, a smaller scale may lower the error of all other values.
  static constexpr float kShares[] = {1.0F, 0.96F, 0.92F, 0.88F, 0.84F, 0.80F};
  switch (type) {
    case WeightFormat::Type::kInt8:
      return {-127, 127, std::span(kShares, 1)};
    case WeightFormat::Type::kInt4:
      return {-8, 7, kShares};
    case WeightFormat::Type::kF32:
    case WeightFormat::Type::kF16:
    case WeightFormat::Type::kBF16:
      break;
  }
  assert(false && "not a quantised format");
  return {};
}

// To the nearest integer, ties to even, of |x| < 2^22: as the processor rounds, in any vector.
inline float round_small(float x) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23
  return (x + kShift) - kShift;
}

// Rounds to multiples of scale, keeps the multiples in [low, high] in q, and returns the sum of the
// squared errors. The order of its additions is written out, four sums side by side, so that every
// compiler makes the same integers of the same weights, and vectors of them.
inline float round_group(std::span<const float> w, float scale, float low, float high, float* q) {
  constexpr float kLeast = 1e-30F;  // below it 1 / scale may be infinite, and the weights are zeros
  const float inverse = std::fabs(scale) < kLeast ? 0.0F : 1 / scale;
  for (std::size_t i = 0; i < w.size(); ++i)
    q[i] = std::min(std::max(round_small(w[i] * inverse), low), high);

  const auto square = [&](std::size_t i) {
    const float error = w[i] - q[i] * scale;
    return error * error;
  };
  std::array<float, 4> sums{};
  const std::size_t whole = w.size() / sums.size() * sums.size();
  for (std::size_t i = 0; i < whole; i += sums.size()) {
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += square(i + k);
  }
  for (std::size_t i = whole; i < w.size(); ++i) sums[i - whole] += square(i);
  return ((sums[0] + sums[1]) + sums[2]) + sums[3];
}

}  // namespace detail

// Writes row_bytes(in) bytes of words and scales(in) scales. A group with a value that is not
// finite gets NaN as its scale.
inline void quantise_row(std::span<const float> row, const WeightFormat& format, std::byte* words,
                         BFloat16* scales) {
  using Group = std::array<float, 128>;
  const int bits = format.bits();
  const auto [low, high, shares] = detail::integers_of(format.type);
  const auto in = static_cast<std::int64_t>(row.size());
  std::memset(words, 0, static_cast<std::size_t>(format.row_bytes(in)));
  auto* const to = reinterpret_cast<std::uint16_t*>(words);
  for (std::int64_t g = 0; g < format.scales(in); ++g) {
    const std::int64_t first = std::min(g * format.group, in);
    const auto w =
        row.subspan(static_cast<std::size_t>(first),
                    static_cast<std::size_t>(std::min<std::int64_t>(format.group, in - first)));
    float extreme = 0;  // the value of largest size
    float zero = 0;     // or NaN
    for (const float x : w) {
      if (std::fabs(x) > std::fabs(extreme)) extreme = x;
      zero += x * 0;
    }
    scales[g] = BFloat16(zero);
    if (std::isnan(zero)) continue;
    Group best{};
    float least = -1;
    for (const float share : shares) {
      Group q{};
      const BFloat16 scale(extreme / low * share);
      const float error = detail::round_group(w, static_cast<float>(scale), low, high, q.data());
      if (least < 0 || error < least) {
        least = error;
        scales[g] = scale;
        best = q;
      }
    }
    for (std::int64_t i = 0; i < format.group; i += WeightFormat::kSlice) {
      const auto [word, shift] =
          detail::slice_place((g * format.group + i) / WeightFormat::kSlice, bits);
      const unsigned mask = (1U << bits) - 1;
      for (std::int64_t k = 0; k < WeightFormat::kSlice; ++k) {
        const auto q = static_cast<int>(best[static_cast<std::size_t>(i + k)]);
        to[word + k] =
            static_cast<std::uint16_t>(to[word + k] | ((static_cast<unsigned>(q) & mask) << shift));
      }
    }
  }
}

// Writes the weights in a floating-point format, side by side.
inline void convert_row(std::span<const float> row, WeightFormat::Type type, std::byte* to) {
  const auto convert = [&]<class T>(T* weights) {
    std::transform(row.begin(), row.end(), weights, [](float w) { return T(w); });
  };
  switch (type) {
    case WeightFormat::Type::kF32:
      return convert(reinterpret_cast<float*>(to));
    case WeightFormat::Type::kF16:
      return convert(reinterpret_cast<Float16*>(to));
    case WeightFormat::Type::kBF16:
      return convert(reinterpret_cast<BFloat16*>(to));
    case WeightFormat::Type::kInt8:
    case WeightFormat::Type::kInt4:
      break;
  }
  assert(false && "a quantised format");
}

// `words` and `scales` as quantise_row wrote them, from any address.
inline void dequantise_row(const std::byte* words, const std::byte* scales,
                           const WeightFormat& format, std::span<float> row) {
  const int bits = format.bits();
  const auto in = static_cast<std::int64_t>(row.size());
  for (std::int64_t i = 0; i < in; i += WeightFormat::kSlice) {
    std::array<std::uint16_t, WeightFormat::kSlice> slice;
    BFloat16 scale;
    const auto [word, shift] = detail::slice_place(i / WeightFormat::kSlice, bits);
    std::memcpy(slice.data(), words + 2 * word, sizeof(slice));
    std::memcpy(&scale, scales + i / format.group * 2, sizeof(scale));
    for (std::int64_t k = 0; k < std::min(WeightFormat::kSlice, in - i); ++k) {
      // The value's sign bit to the top, and down again with copies of it.
      const auto top = static_cast<std::int16_t>(
          static_cast<std::uint16_t>(slice[static_cast<std::size_t>(k)] << (16 - bits - shift)));
      row[static_cast<std::size_t>(i + k)] =
          static_cast<float>(scale) * static_cast<float>(top >> (16 - bits));
    }
  }
}

}  // namespace fvlm
