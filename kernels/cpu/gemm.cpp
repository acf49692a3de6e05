#include "kernels/cpu/gemm.hpp"

#include <algorithm>
#include <cassert>
#include <type_traits>
#include <utility>

#include "kernels/cpu/gemm_panel.hpp"
#include "kernels/cpu/gemm_tiles.hpp"
#include "kernels/cpu/matmul.hpp"
#include "kernels/cpu/simd.hpp"

namespace fvlm::gemm {
namespace {

// Outputs and depth of a part: its sums, inputs and a panel stay in a core's caches. Sums wait in
// memory, in float32, until the next part of the depth is added.
constexpr std::int64_t kOutputsOfPart = 256;
constexpr std::int64_t kDepthOfPart = 768;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}

// Elements of a panel.
template <class T>
std::int64_t panel_size(std::int64_t depth) {
  return kPanel * (std::is_same_v<T, float> ? depth : round_up(depth, 2));
}

template <class T>
void pack(const T* rows, std::int64_t stride, std::int64_t outputs, std::int64_t depth, T* panels) {
  constexpr std::int64_t kOfWord = std::is_same_v<T, float> ? 1 : 2;
  assert(stride % kOfWord == 0 && (kOfWord == 1 || depth % 2 == 0 || stride > depth));
  for (std::int64_t first = 0; first < outputs; first += kPanel) {
    pack_panel(reinterpret_cast<const float*>(rows + first * stride), stride / kOfWord,
               std::min(kPanel, outputs - first), round_up(depth, kOfWord) / kOfWord,
               reinterpret_cast<float*>(panels + first / kPanel * panel_size<T>(depth)));
  }
}

// A panel of which only the first outputs exist: its sums pass through `edge` [rows, kPanel].
template <class T>
void multiply_last_panel(PanelProduct<T> product, std::int64_t outputs, float* edge) {
  float* const sums = std::exchange(product.sums, edge);
  const std::int64_t stride = std::exchange(product.sum_stride, kPanel);
  for (std::int64_t r = 0; product.accumulate && r < product.rows; ++r) {
    std::copy_n(sums + r * stride, outputs, edge + r * kPanel);
  }
  multiply_panel(product);
  for (std::int64_t r = 0; r < product.rows; ++r) {
    std::copy_n(edge + r * kPanel, outputs, sums + r * stride);
  }
}

// Outputs [first, first + count), to sums [rows, count].
template <class T>
void multiply_outputs(const Product& p, std::int64_t first, std::int64_t count, float* sums,
                      std::int64_t sum_stride, float* edge) {
  const std::int64_t size = panel_size<T>(p.depth);
  for (std::int64_t from = 0; from < p.depth; from += kDepthOfPart) {
    for (std::int64_t o = first; o < first + count; o += kPanel) {
      const std::int64_t outputs = std::min(kPanel, p.outputs - o);
      const T* const panel = static_cast<const T*>(p.weights) + o / kPanel * size + from * kPanel;
      float start[kPanel] = {};
      PanelProduct<T> product{.panel = panel,
                              .next = panel + size,
                              .inputs = static_cast<const T*>(p.inputs) + from,
                              .input_stride = p.input_stride,
                              .rows = p.rows,
                              .depth = std::min(kDepthOfPart, p.depth - from),
                              .accumulate = p.accumulate || from > 0,
                              .sums = sums + (o - first),
                              .sum_stride = sum_stride};
      if (p.bias != nullptr && from == 0) {
        std::copy_n(p.bias + o, outputs, start);
        product.start = start;
      }
      if (outputs == kPanel) {
        multiply_panel(product);
      } else {
        multiply_last_panel(product, outputs, edge);
      }
    }
  }
}

template <class T, class Out>
void multiply_panels(const Product& p, float* scratch, Out* out) {
  float* const edge = scratch;
  float* const sums = scratch + p.rows * kPanel;
  for (std::int64_t first = 0; first < p.outputs; first += kOutputsOfPart) {
    const std::int64_t count = std::min(kOutputsOfPart, p.outputs - first);
    if constexpr (std::is_same_v<Out, float>) {
      multiply_outputs<T>(p, first, count, out + first, p.out_stride, edge);
    } else {
      multiply_outputs<T>(p, first, count, sums, kOutputsOfPart, edge);
      for (std::int64_t r = 0; r < p.rows; ++r) {
        simd::to_bf16(sums + r * kOutputsOfPart, out + r * p.out_stride + first, count);
      }
    }
  }
}

template <class Out>
void multiply_any(const Product& p, void* scratch, Out* out) {
  auto* const sums = static_cast<float*>(scratch);
  switch (p.kernel) {
    case Kernel::kFloat:
      return multiply_panels<float>(p, sums, out);
    case Kernel::kPairs:
      return multiply_panels<BFloat16>(p, sums, out);
    case Kernel::kTiles:
      return multiply_tiles(p, sums, out);
  }
}

}  // namespace

bool has_kernel(Kernel kernel) {
  switch (kernel) {
    case Kernel::kFloat:
      return true;
    case Kernel::kPairs:
      return has_native_bf16();
    case Kernel::kTiles:
      return tiles_available();
  }
  return false;
}

Kernel bf16_kernel() {
  for (const Kernel kernel : {Kernel::kTiles, Kernel::kPairs}) {
    if (has_kernel(kernel)) return kernel;
  }
  return Kernel::kFloat;
}

std::int64_t panel_bytes(Kernel kernel, std::int64_t outputs, std::int64_t depth) {
  if (kernel == Kernel::kTiles) {
    return tiled_elements(outputs, depth) * static_cast<std::int64_t>(sizeof(BFloat16));
  }
  const auto bytes = static_cast<std::int64_t>(
      kernel == Kernel::kFloat ? panel_size<float>(depth) * sizeof(float)
                               : panel_size<BFloat16>(depth) * sizeof(BFloat16));
  return round_up(outputs, kPanel) / kPanel * bytes;
}

void pack_panels(Kernel kernel, const void* rows, std::int64_t stride, std::int64_t outputs,
                 std::int64_t depth, void* panels) {
  const auto* narrow = static_cast<const BFloat16*>(rows);
  switch (kernel) {
    case Kernel::kFloat:
      return pack(static_cast<const float*>(rows), stride, outputs, depth,
                  static_cast<float*>(panels));
    case Kernel::kPairs:
      return pack(narrow, stride, outputs, depth, static_cast<BFloat16*>(panels));
    case Kernel::kTiles:
      return pack_tiles(narrow, stride, outputs, depth, static_cast<BFloat16*>(panels));
  }
}

std::int64_t scratch_bytes(Kernel kernel, std::int64_t rows, std::int64_t outputs,
                           std::int64_t depth) {
  const std::int64_t floats = kernel == Kernel::kTiles ? tile_scratch_floats(rows, outputs, depth)
                                                       : rows * (kPanel + kOutputsOfPart);
  return floats * static_cast<std::int64_t>(sizeof(float));
}

void multiply(const Product& product, void* scratch, float* out) {
  multiply_any(product, scratch, out);
}

void multiply(const Product& product, void* scratch, BFloat16* out) {
  assert(!product.accumulate);
  multiply_any(product, scratch, out);
}

}  // namespace fvlm::gemm
