#include "kernels/cpu/gemm/gemm.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/cpu/gemm/panel.hpp"
#include "kernels/cpu/gemm/plain.hpp"
#include "kernels/cpu/gemm/tiles.hpp"
#include "kernels/cpu/instruction_set.hpp"
#include "kernels/cpu/simd/simd.hpp"

namespace fvlm::gemm {
namespace {

// Outputs and depth of a part: its sums, inputs and a panel stay in a core's caches. Sums wait in
// memory, in float32, until the next part of the depth is added.
constexpr std::int64_t kOutputsOfPart = 256;
constexpr std::int64_t kDepthOfPart = 768;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}

// Elements of an output's row that stand together in a panel.
constexpr std::int64_t group_of(Kernel kernel) {
  switch (kernel) {
    case Kernel::kFloat:
      return 1;
    case Kernel::kPairs:
      return 2;
    case Kernel::kTiles:
      return kTileDepth;
  }
  return 0;
}

// Elements of a panel.
constexpr std::int64_t panel_size(Kernel kernel, std::int64_t depth) {
  return kPanel * round_up(depth, group_of(kernel));
}

// Panels of words of 32 bits: numbers, or pairs of bfloat16.
template <class From, class To>
void pack(const From* rows, std::int64_t stride, std::int64_t outputs, std::int64_t words,
          To* panels) {
  for (std::int64_t first = 0; first < outputs; first += kPanel) {
    pack_panel(rows + first * stride, stride, std::min(kPanel, outputs - first), words,
               panels + first * words);
  }
}

template <class T>
void pack_columns(Kernel kernel, const T* columns, std::int64_t stride, std::int64_t outputs,
                  std::int64_t depth, T* panels) {
  const std::int64_t group = group_of(kernel);
  for (std::int64_t first = 0; first < outputs; first += kPanel) {
    T* const panel = panels + first / kPanel * panel_size(kernel, depth);
    for (std::int64_t k = 0; k < depth; ++k) {
      const T* const from = columns + k * stride + first;
      T* const to = panel + k / group * group * kPanel + k % group;
      for (std::int64_t o = 0; o < std::min(kPanel, outputs - first); ++o) to[o * group] = from[o];
    }
  }
}

void pack_tiles(const BFloat16* rows, std::int64_t stride, std::int64_t outputs, std::int64_t depth,
                BFloat16* panels) {
  std::fill_n(panels, round_up(outputs, kPanel) * tiled_depth(depth), BFloat16());
  for (std::int64_t o = 0; o < outputs; ++o) {
    BFloat16* const to = panels + tiled_row(o, depth);
    for (std::int64_t k = 0; k < depth; k += kTileDepth) {
      std::copy_n(rows + o * stride + k, std::min(kTileDepth, depth - k), to + k * kPanel);
    }
  }
}

void multiply_panel(const PanelProduct<float>& product) {
  multiply_panel_float(product);
}

void multiply_panel(const PanelProduct<BFloat16>& product) {
#ifdef __x86_64__
  if (has_kernel(Kernel::kPairs)) return multiply_panel_pairs(product);
#endif
  plain::multiply_panel(product);
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
  const std::int64_t size = panel_size(p.kernel, p.depth);
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

// Reorders inputs that are not yet.
template <class Out>
void multiply_in_tiles(Product p, std::byte* scratch, Out* out) {
  if (!p.reordered) {
    auto* const tiles = reinterpret_cast<BFloat16*>(scratch);
    reorder_inputs(static_cast<const BFloat16*>(p.inputs), p.input_stride, p.rows, p.depth, tiles);
    p.inputs = tiles;
    scratch += tiled_elements(p.rows, p.depth) * static_cast<std::int64_t>(sizeof(BFloat16));
  }
#ifdef __x86_64__
  if (tiles_available()) return multiply_tiles(p, reinterpret_cast<float*>(scratch), out);
#endif
  plain::multiply_tiles(p, out);
}

template <class Out>
void multiply_any(const Product& p, void* scratch, Out* out) {
  switch (p.kernel) {
    case Kernel::kFloat:
      return multiply_panels<float>(p, static_cast<float*>(scratch), out);
    case Kernel::kPairs:
      return multiply_panels<BFloat16>(p, static_cast<float*>(scratch), out);
    case Kernel::kTiles:
      return multiply_in_tiles(p, static_cast<std::byte*>(scratch), out);
  }
}

}  // namespace

bool has_kernel(Kernel kernel) {
  switch (kernel) {
    case Kernel::kFloat:
      return true;
    case Kernel::kPairs:
      return instruction_set() >= InstructionSet::kAvx512Bf16;
    case Kernel::kTiles:
#ifdef __x86_64__
      return tiles_available();
#else
      return false;
#endif
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
  return round_up(outputs, kPanel) / kPanel * panel_size(kernel, depth) * element_bytes(kernel);
}

void pack_panels(Kernel kernel, const void* rows, std::int64_t stride, std::int64_t outputs,
                 std::int64_t depth, void* panels) {
  switch (kernel) {
    case Kernel::kFloat:
      return pack(static_cast<const float*>(rows), stride, outputs, depth,
                  static_cast<float*>(panels));
    case Kernel::kPairs:
      assert(stride % 2 == 0 && stride >= round_up(depth, 2));
      return pack(static_cast<const float*>(rows), stride / 2, outputs, round_up(depth, 2) / 2,
                  static_cast<float*>(panels));
    case Kernel::kTiles:
      return pack_tiles(static_cast<const BFloat16*>(rows), stride, outputs, depth,
                        static_cast<BFloat16*>(panels));
  }
}

void pack_panels_widened(const BFloat16* rows, std::int64_t stride, std::int64_t outputs,
                         std::int64_t depth, float* panels) {
  pack(rows, stride, outputs, depth, panels);
}

void pack_panels_transposed(Kernel kernel, const void* columns, std::int64_t stride,
                            std::int64_t outputs, std::int64_t depth, void* panels) {
  std::memset(panels, 0, static_cast<std::size_t>(panel_bytes(kernel, outputs, depth)));
  if (kernel == Kernel::kFloat) {
    pack_columns(kernel, static_cast<const float*>(columns), stride, outputs, depth,
                 static_cast<float*>(panels));
  } else {
    pack_columns(kernel, static_cast<const BFloat16*>(columns), stride, outputs, depth,
                 static_cast<BFloat16*>(panels));
  }
}

void reorder_inputs(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                    std::int64_t depth, BFloat16* to) {
#ifdef __x86_64__
  if (tiles_available()) return reorder_into_tiles(inputs, stride, rows, depth, to);
#endif
  plain::reorder_inputs(inputs, stride, rows, depth, to);
}

std::int64_t scratch_bytes(const Product& p) {
  constexpr auto kFloatBytes = static_cast<std::int64_t>(sizeof(float));
  if (p.kernel != Kernel::kTiles) return p.rows * (kPanel + kOutputsOfPart) * kFloatBytes;
  const std::int64_t inputs = p.reordered ? 0 : tiled_elements(p.rows, p.depth);
  return inputs * static_cast<std::int64_t>(sizeof(BFloat16)) +
         tile_scratch_floats(p.rows, p.outputs, p.depth) * kFloatBytes;
}

void multiply(const Product& product, void* scratch, float* out) {
  multiply_any(product, scratch, out);
}

void multiply(const Product& product, void* scratch, BFloat16* out) {
  assert(!product.accumulate);
  multiply_any(product, scratch, out);
}

std::int64_t multiply_adds(Kernel kernel, std::int64_t rounds, float* result) {
  assert(has_kernel(kernel));
#ifdef __x86_64__
  if (kernel == Kernel::kPairs) return multiply_adds_pairs(rounds, result);
  if (kernel == Kernel::kTiles) return multiply_adds_tiles(rounds, result);
#endif
  return simd::multiply_adds(rounds, result);
}

}  // namespace fvlm::gemm
