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

namespace fvlm {

// out = in W^T (+ bias) (+ out): in [rows, in], W [out, in], out [rows, out].
struct MatMulShape {
  std::int64_t rows = 0;
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t in_stride = 0;           // elements between rows
  std::int64_t weight_stride = 0;       // elements between rows; 0: packed, see pack_weights
  bool weight_rows_are_inputs = false;  // W is stored as [in, out]
  std::int64_t out_stride = 0;
  bool bf16 = false;        // inputs and weights are bfloat16, else float32; sums are float32
  bool bf16_out = false;    // the result as well
  bool bias = false;        // float32 [out]
  bool accumulate = false;  // add to what out holds

  auto operator<=>(const MatMulShape&) const = default;
};

class MatMul {
 public:
  virtual ~MatMul() = default;
  virtual void run(const void* in, const void* weights, const float* bias, void* out) const = 0;
};

// Whether this processor multiplies bfloat16 itself; if not, float32 is several times faster.
bool has_native_bf16();

// Matrices in the order in which oneDNN reads them fastest.
std::size_t packed_bytes(std::int64_t in, std::int64_t out, bool bf16);
// `rows` is the matrix [out, in] without gaps.
void pack_weights(std::int64_t in, std::int64_t out, bool bf16, const void* rows, void* packed);

// Compiled products by shape. Safe to use from several threads.
class MatMulCache {
 public:
  const MatMul& get(const MatMulShape& shape);

 private:
  std::mutex mutex_;
  std::map<MatMulShape, std::unique_ptr<const MatMul>> compiled_;
};

}  // namespace fvlm
