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
  kTiles,  // bfloat16: AMX, see gemm_tiles.hpp; sums are float32
};

// Whether it runs here.
bool has_kernel(Kernel kernel);
// The fastest for bfloat16 here; kFloat if the processor has none.
Kernel bf16_kernel();

// What a kernel reads its weights from: panels of kPanel outputs, [depth][kPanel] or, for pairs,
// [depth / 2][kPanel][2], or tiles, [outputs / 16][depth / 32][16][32]; the last are filled with
// zeros. Tiles may be read from rows as well.
inline constexpr std::int64_t kPanel = 32;
std::int64_t panel_bytes(Kernel kernel, std::int64_t outputs, std::int64_t depth);
// From rows [outputs, depth] of the kernel's element, with `stride` elements between them.
void pack_panels(Kernel kernel, const void* rows, std::int64_t stride, std::int64_t outputs,
                 std::int64_t depth, void* panels);

struct Product {
  Kernel kernel = Kernel::kFloat;
  std::int64_t rows = 0;  // of inputs
  std::int64_t outputs = 0;
  std::int64_t depth = 0;
  const void* inputs = nullptr;  // [rows, depth] of the kernel's element; for tiles reordered
  std::int64_t input_stride = 0;
  const void* weights = nullptr;   // as pack_panels() makes them, or
  std::int64_t weight_stride = 0;  // not 0: for tiles, rows [outputs, tiled_depth(depth)]
  const float* bias = nullptr;     // [outputs], or null
  std::int64_t out_stride = 0;
  bool accumulate = false;  // add to what out holds, which is float32 then
};

// Bytes of scratch memory, at the beginning of a cache line.
std::int64_t scratch_bytes(Kernel kernel, std::int64_t rows, std::int64_t outputs,
                           std::int64_t depth);
// out [rows, outputs] = inputs W^T (+ bias) (+ out).
void multiply(const Product& product, void* scratch, float* out);
void multiply(const Product& product, void* scratch, BFloat16* out);

}  // namespace fvlm::gemm
