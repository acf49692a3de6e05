// GEMM of the CPU backend, on the calling thread. The sum of an output runs along the row in one
// order, however many inputs and outputs are multiplied at once: neither batching nor the number of
// threads changes a single bit, which no library promises.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/element.hpp"

namespace fvlm::gemm {

enum class Kernel : std::uint8_t {
  kFloat,  // float32, on every processor
  kPairs,  // bfloat16: dot products of two elements (AVX512_BF16); sums are float32
  kTiles,  // bfloat16: AMX, see tiles.hpp; sums are float32
};

// Whether the processor has its instructions. Where it has not, plain loops stand in for them, so
// that what is built on a kernel can be tested on any machine.
bool has_kernel(Kernel kernel);
// The fastest for bfloat16 here; kFloat if the processor has none.
Kernel bf16_kernel();

// Bytes of an element that it multiplies.
constexpr std::int64_t element_bytes(Kernel kernel) {
  return static_cast<std::int64_t>(kernel == Kernel::kFloat ? sizeof(float) : sizeof(BFloat16));
}

// What a kernel reads its weights from: panels of kPanel outputs, filled with zeros,
// [depth / group][kPanel][group], where the group is 1, for pairs 2, for tiles 32. Tiles may be
// read from rows as well.
inline constexpr std::int64_t kPanel = 32;
std::int64_t panel_bytes(Kernel kernel, std::int64_t outputs, std::int64_t depth);
// From rows [outputs, depth] of the kernel's element, with `stride` elements between them: for
// pairs an even number, and a zero after an odd depth.
void pack_panels(Kernel kernel, const void* rows, std::int64_t stride, std::int64_t outputs,
                 std::int64_t depth, void* panels);
// For kFloat from bfloat16.
void pack_panels_widened(const BFloat16* rows, std::int64_t stride, std::int64_t outputs,
                         std::int64_t depth, float* panels);
// From the transposed matrix, [depth, outputs].
void pack_panels_transposed(Kernel kernel, const void* columns, std::int64_t stride,
                            std::int64_t outputs, std::int64_t depth, void* panels);

struct Product {
  Kernel kernel = Kernel::kFloat;
  std::int64_t rows = 0;  // of inputs
  std::int64_t outputs = 0;
  std::int64_t depth = 0;
  const void* inputs = nullptr;  // [rows, depth] of the kernel's element
  std::int64_t input_stride = 0;
  bool reordered = false;          // inputs are, by reorder_inputs(), which tiles need
  const void* weights = nullptr;   // as pack_panels() makes them, or
  std::int64_t weight_stride = 0;  // not 0: for tiles, rows [outputs, tiled_depth(depth)]
  const float* bias = nullptr;     // [outputs], or null
  std::int64_t out_stride = 0;
  bool accumulate = false;  // add to what out holds, which is float32 then
};

// Inputs in the order of tiles (tiles.hpp), for products that share them.
void reorder_inputs(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                    std::int64_t depth, BFloat16* to);

// Bytes of scratch memory, at the beginning of a cache line, for this kernel, rows, outputs, depth
// and whether inputs are reordered.
std::int64_t scratch_bytes(const Product& product);
// out [rows, outputs] = inputs W^T (+ bias) (+ out).
void multiply(const Product& product, void* scratch, float* out);
void multiply(const Product& product, void* scratch, BFloat16* out);

// Multiplies and adds as the kernel does, but on registers alone, which no GEMM can do faster;
// returns how many times, and what came out so that it is not left out. Only where the processor
// has the kernel.
std::int64_t multiply_adds(Kernel kernel, std::int64_t rounds, float* result);

}  // namespace fvlm::gemm
