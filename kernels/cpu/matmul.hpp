// Matrix products by oneDNN, on the calling thread alone: the Cpu backend divides the work itself,
// so that what one thread needs next stays in its own cache. Nothing of oneDNN shows here; the
// source compiles against its versions 2 and 3.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "fvlm/core/buffer.hpp"

namespace fvlm {

// out = in W^T (+ bias) (+ out): in [rows, in], W [out, in], out [rows, out].
struct MatMulShape {
  std::int64_t rows = 0;
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t in_stride = 0;           // elements between rows
  std::int64_t weight_stride = 0;       // elements between rows; 0: a PackedMatrix
  bool weight_rows_are_inputs = false;  // W is stored as [in, out]
  std::int64_t out_stride = 0;
  bool bf16 = false;        // inputs and weights are bfloat16, else float32; sums are float32
  bool bf16_out = false;    // the result as well
  bool bias = false;        // float32 [out]
  bool accumulate = false;  // add to what out holds

  auto operator<=>(const MatMulShape&) const = default;
};

// Whether this processor multiplies bfloat16 itself; if not, float32 is several times faster, and
// oneDNN may know no product in bfloat16 at all.
bool has_native_bf16();

// Whether it has AMX's tiles for that.
bool has_native_tiles();

// The widest vectors that oneDNN uses here, in bits: fewer than the processor has where
// ONEDNN_MAX_CPU_ISA says so. 0 where oneDNN does not tell, as on Arm.
int product_vector_bits();

// A matrix in the order in which oneDNN reads it fastest. Which order that is depends on its
// version, the processor and the number of threads: it is asked for once, here, and what it says
// stays with the matrix.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // From `rows`, the matrix [out, in] without gaps, in bfloat16 or float32. Throws Error if oneDNN
  // cannot multiply by it on this processor.
  PackedMatrix(std::int64_t in, std::int64_t out, bool bf16, const void* rows);

  std::size_t bytes() const { return values_.bytes(); }

 private:
  friend class MatMulCache;
  struct Layout;

  std::shared_ptr<const Layout> layout_;
  Buffer values_;
};

// Products, compiled when they are first wanted. Safe to use from several threads. `bias` is null
// where the shape has none. Throws Error if oneDNN cannot multiply so, or would read a matrix in
// another order than it was packed in.
class MatMulCache {
 public:
  MatMulCache();
  ~MatMulCache();

  // Bytes of `scratch` for a product: oneDNN's copies of inputs and sums.
  static std::int64_t scratch_bytes(std::int64_t rows, std::int64_t out) {
    constexpr std::int64_t kCopies = 256 << 10;  // of inputs and weights, a block of each at a time
    return kCopies + rows * out * static_cast<std::int64_t>(sizeof(float));
  }

  void multiply(const MatMulShape& shape, const void* in, const void* weights, const float* bias,
                void* out, std::span<std::byte> scratch);
  void multiply(const MatMulShape& shape, const void* in, const PackedMatrix& weights,
                const float* bias, void* out, std::span<std::byte> scratch);

 private:
  class Product;

  // `packed`: null for weights as the shape says.
  const Product& product(const MatMulShape& shape, const PackedMatrix* packed);

  std::mutex mutex_;
  std::map<MatMulShape, std::unique_ptr<const Product>> compiled_;
};

}  // namespace fvlm
