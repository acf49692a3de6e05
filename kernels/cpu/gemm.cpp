#include "kernels/cpu/gemm.hpp"

#include <algorithm>
#include <cassert>
#include <type_traits>

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

// The sums of one part of the outputs [first, first + count) go to `sums` [rows, kOutputsOfPart]
// or, if that is out itself, beside it: a panel that is not whole has a place of its own.
template <class T>
void add_part(const Product& p, std::int64_t first, std::int64_t count, float* sums,
              std::int64_t sum_stride, bool accumulate, float* edge) {
  for (std::int64_t from = 0; from < p.depth; from += kDepthOfPart) {
    for (std::int64_t o = first; o < first + count; o += kPanel) {
      const std::int64_t outputs = std::min(kPanel, p.outputs - o);
      float start[kPanel] = {};
      if (p.bias != nullptr) std::copy_n(p.bias + o, outputs, start);
      float* const to = sums + (o - first);
      const bool whole = outputs == kPanel;
      const bool adds = accumulate || from > 0;
      if (!whole && adds) {
        for (std::int64_t r = 0; r < p.rows; ++r)
          std::copy_n(to + r * sum_stride, outputs, edge + r * kPanel);
      }
      const T* const panel =
          static_cast<const T*>(p.weights) + o / kPanel * panel_size<T>(p.depth) + from * kPanel;
      multiply_panel(PanelProduct<T>{.panel = panel,
                                     .next = panel + panel_size<T>(p.depth),
                                     .inputs = static_cast<const T*>(p.inputs) + from,
                                     .input_stride = p.input_stride,
                                     .rows = p.rows,
                                     .depth = std::min(kDepthOfPart, p.depth - from),
                                     .start = from == 0 && p.bias != nullptr ? start : nullptr,
                                     .accumulate = adds,
                                     .sums = whole ? to : edge,
                                     .sum_stride = whole ? sum_stride : kPanel});
      if (!whole) {
        for (std::int64_t r = 0; r < p.rows; ++r)
          std::copy_n(edge + r * kPanel, outputs, to + r * sum_stride);
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
      add_part<T>(p, first, count, out + first, p.out_stride, p.accumulate, edge);
    } else {
      add_part<T>(p, first, count, sums, kOutputsOfPart, false, edge);
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
