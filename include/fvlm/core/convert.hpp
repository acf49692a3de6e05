// From the floating-point types of files to float32.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "fvlm/core/element.hpp"
#include "fvlm/error.hpp"

namespace fvlm {

// Whether the model can use it: F32, F16, BF16 or F64.
constexpr bool is_floating_point(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kF64;
}

// Converts out.size() elements of a floating-point type (F64 is rounded), from any address.
// Throws Error for other types.
inline void convert_to_float(DType type, const std::byte* data, std::span<float> out) {
  const auto convert = [&]<class Stored>(Stored value) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::memcpy(&value, data + i * sizeof(Stored), sizeof(Stored));
      out[i] = static_cast<float>(value);
    }
  };
  switch (type) {
    case DType::kF32:
      return convert(float{});
    case DType::kF16:
      return convert(Float16{});
    case DType::kBF16:
      return convert(BFloat16{});
    case DType::kF64:
      return convert(double{});
    default:
      throw Error("expected floating-point numbers, found " + std::string(name_of(type)));
  }
}

}  // namespace fvlm
