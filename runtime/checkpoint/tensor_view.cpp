#include "runtime/checkpoint/tensor_view.hpp"

#include <algorithm>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"

namespace fvlm {

std::optional<std::uint64_t> checked_tensor_bytes(DType dtype,
                                                  std::span<const std::int64_t> shape) {
  std::int64_t bytes = static_cast<std::int64_t>(size_of(dtype));
  // A product with a zero in it is zero, but its other factors are still checked.
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes)) {
      return std::nullopt;
    }
  }
  if (std::ranges::find(shape, 0) != shape.end()) return 0;
  return static_cast<std::uint64_t>(bytes);
}

void copy_as_float(const TensorView& tensor, std::span<float> out) {
  if (!is_floating_point(tensor.dtype)) {
    throw make_error("{}: tensor {}: expected floating-point numbers, found {}", tensor.file,
                     in_quotes(tensor.name), name_of(tensor.dtype));
  }
  if (out.size() != static_cast<std::size_t>(tensor.elements())) {
    throw make_error("{}: tensor {}: {} elements do not fit a buffer of {}", tensor.file,
                     in_quotes(tensor.name), tensor.elements(), out.size());
  }
  convert_to_float(tensor.dtype, tensor.data.data(), out);
}

}  // namespace fvlm
