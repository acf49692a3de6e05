// Weight formats: floating point, and integers in groups that share a scale.
//
// int8 and int4 are symmetric: weight = scale * q with q in -127..127 or -8..7, one bfloat16 scale
// for every `group` inputs of a row. Why so:
//   symmetric  no zero points to read, store or correct for; in int4 the largest weight of a group
//              maps to -8, so that all sixteen values are used, and the scale of least squared
//              error is searched
//   bfloat16   q is computed for the rounded scale, so its few digits cost no accuracy, and
//              its range is that of the weights
//   group 64   8.25 and 4.25 bits a weight; 32 is a little more accurate (8.5, 4.5), 128 smaller
//
// A row is stored in blocks of kSlice 16-bit words. A word packs 16 / bits weights (bits divides
// 16): word w of a block has, at bits [n * bits, (n + 1) * bits), two's complement, weight n *
// kSlice + w of the block. So a SIMD vector of words shifted by n * bits lines up with as many
// consecutive inputs, however many lanes the vector has up to kSlice. Rows are padded with zeros to
// whole blocks and groups.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "fvlm/core/element.hpp"

namespace fvlm {

struct WeightFormat {
  enum class Type : std::uint8_t { kF32, kF16, kBF16, kInt8, kInt4 };

  // Words of a block, and consecutive inputs that one bit position of its words lines up with.
  static constexpr std::int64_t kSlice = 32;
  static constexpr int kDefaultGroup = 64;
  static constexpr int kGroups[] = {32, 64, 128};
  static constexpr Type kQuantised[] = {Type::kInt8, Type::kInt4};

  static const WeightFormat kF32;
  static const WeightFormat kF16;
  static const WeightFormat kBF16;
  static constexpr WeightFormat int8(int group = kDefaultGroup);
  static constexpr WeightFormat int4(int group = kDefaultGroup);

  Type type = Type::kBF16;
  int group = 0;  // inputs that share a scale, one of kGroups; 0 for floating point

  bool operator==(const WeightFormat&) const = default;

  constexpr bool is_quantised() const { return group != 0; }
  // Of one weight, without scales.
  constexpr int bits() const {
    switch (type) {
      case Type::kF32:
        return 32;
      case Type::kF16:
      case Type::kBF16:
        return 16;
      case Type::kInt8:
        return 8;
      case Type::kInt4:
        return 4;
    }
    return 0;
  }
  // Bytes a weight takes on average, with its share of the scale.
  constexpr double bytes_per_weight() const {
    return bits() / 8.0 + (is_quantised() ? double{sizeof(BFloat16)} / group : 0.0);
  }

  // For quantised formats, of a row of `in` weights: its length with padding, its bytes without
  // scales, and the number of its scales.
  constexpr std::int64_t padded(std::int64_t in) const {
    const std::int64_t unit = std::max<std::int64_t>(kSlice * 16 / bits(), group);
    return (in + unit - 1) / unit * unit;
  }
  constexpr std::int64_t row_bytes(std::int64_t in) const { return padded(in) * bits() / 8; }
  constexpr std::int64_t scales(std::int64_t in) const { return padded(in) / group; }
};

inline constexpr WeightFormat WeightFormat::kF32{Type::kF32};
inline constexpr WeightFormat WeightFormat::kF16{Type::kF16};
inline constexpr WeightFormat WeightFormat::kBF16{Type::kBF16};
constexpr WeightFormat WeightFormat::int8(int group) {
  return {Type::kInt8, group};
}
constexpr WeightFormat WeightFormat::int4(int group) {
  return {Type::kInt4, group};
}

// "bf16", "int4".
constexpr std::string_view name_of(WeightFormat::Type type) {
  constexpr std::string_view kNames[] = {"f32", "f16", "bf16", "int8", "int4"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(WeightFormat::Type::kInt4) + 1);
  return kNames[static_cast<std::size_t>(type)];
}
// "bf16", "int4 in groups of 64".
inline std::string name_of(const WeightFormat& format) {
  std::string name(name_of(format.type));
  if (format.is_quantised()) name += " in groups of " + std::to_string(format.group);
  return name;
}

}  // namespace fvlm
