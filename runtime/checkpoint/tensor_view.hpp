// A tensor where a file holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fvlm/core/convert.hpp"
#include "fvlm/core/element.hpp"

namespace fvlm {

// One stored tensor. `data` lies in the mapped file, in C order, little-endian, and is aligned to
// nothing: files may begin a tensor at any byte.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
  std::string file;  // its path, for messages

  std::int64_t elements() const { return static_cast<std::int64_t>(data.size() / size_of(dtype)); }
};

// Bytes of a tensor; nullopt if a size is negative or the product leaves 63 bits.
std::optional<std::uint64_t> checked_tensor_bytes(DType dtype, std::span<const std::int64_t> shape);

// Converts a tensor to float (F64 is rounded); `out` must have its number of elements. Throws Error
// naming the tensor if it does not hold floating-point numbers.
void copy_as_float(const TensorView& tensor, std::span<float> out);

}  // namespace fvlm
