// GEMM in float32: a panel of weights, [depth][kPanel], times rows of inputs. A register tile is
// some inputs x two vectors of outputs; each step of the depth multiplies two vectors of weights by
// one number of each input.
#include "kernels/cpu/gemm/gemm.hpp"
#include "kernels/cpu/gemm/panel.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/gemm_panel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::gemm {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using namespace simd::HWY_NAMESPACE;

// Two vectors; all of a panel where vectors have 16 numbers.
constexpr std::int64_t kColumns = 2 * kLanes;
constexpr std::int64_t kLine = 16;  // numbers of a cache line
// Inputs of a register tile: sums take three quarters of the registers.
constexpr int kInputs = kRegisters * 3 / 8;

// Inputs [row, row + kRows), outputs [column, column + kColumns). On the way a cache line of what
// comes later is fetched with each step: two tiles fetch a panel.
template <int kRows>
HWY_INLINE void multiply_tile(const PanelProduct<float>& p, std::int64_t row, std::int64_t column,
                              const float* later) {
  const float* const x = p.inputs + row * p.input_stride;
  float* const out = p.sums + row * p.sum_stride + column;
  V sums[kRows][2];
  const V start[2] = {p.start == nullptr ? zero() : load(p.start + column),
                      p.start == nullptr ? zero() : load(p.start + column + kLanes)};
  FVLM_UNROLL for (int r = 0; r < kRows; ++r) {
    FVLM_UNROLL for (int v = 0; v < 2; ++v) {
      sums[r][v] = start[v];
      if (p.accumulate) {
        sums[r][v] = hn::Add(load(out + r * p.sum_stride + v * kLanes), start[v]);
      }
    }
  }
  const float* weights = p.panel + column;
  for (std::int64_t k = 0; k < p.depth; ++k) {
    const V w[2] = {load(weights), load(weights + kLanes)};
    weights += kPanel;
    __builtin_prefetch(later + k * kLine, 0, 2);
    FVLM_UNROLL for (int r = 0; r < kRows; ++r) {
      const V value = broadcast(x[r * p.input_stride + k]);
      FVLM_UNROLL for (int v = 0; v < 2; ++v) {
        sums[r][v] = hn::MulAdd(w[v], value, sums[r][v]);
      }
    }
  }
  FVLM_UNROLL for (int r = 0; r < kRows; ++r) {
    FVLM_UNROLL for (int v = 0; v < 2; ++v) {
      store(sums[r][v], out + r * p.sum_stride + v * kLanes);
    }
  }
}

void multiply_panel(const PanelProduct<float>& p) {
  for (std::int64_t column = 0; column < kPanel; column += kColumns) {
    std::int64_t row = 0;
    const auto later = [&] { return p.next + row / kInputs % 2 * p.depth * kLine; };
    for (; row + kInputs <= p.rows; row += kInputs) {
      multiply_tile<kInputs>(p, row, column, later());
    }
    for (; row + 4 <= p.rows; row += 4) multiply_tile<4>(p, row, column, later());
    for (; row < p.rows; ++row) multiply_tile<1>(p, row, column, later());
  }
}

// Rows by fours: what four vectors hold goes out as columns of four.
template <class T>
HWY_INLINE void pack_rows(const T* rows, std::int64_t stride, std::int64_t outputs,
                          std::int64_t words, float* panel) {
  std::int64_t o = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::Repartition<double, D> pairs;
  const hn::CappedTag<float, 4> four;
  for (; o + 4 <= outputs; o += 4) {
    const T* const from = rows + o * stride;
    std::int64_t k = 0;
    for (; k + kLanes <= words; k += kLanes) {
      const V a = load(from + k);
      const V b = load(from + stride + k);
      const V c = load(from + 2 * stride + k);
      const V d = load(from + 3 * stride + k);
      const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(D(), a, b));
      const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(D(), a, b));
      const auto cd_low = hn::BitCast(pairs, hn::InterleaveLower(D(), c, d));
      const auto cd_high = hn::BitCast(pairs, hn::InterleaveUpper(D(), c, d));
      // Blocks of four numbers: block i of column j holds what belongs to word 4 i + j.
      alignas(64) float columns[4][kLanes];
      hn::Store(hn::BitCast(D(), hn::InterleaveLower(pairs, ab_low, cd_low)), D(), columns[0]);
      hn::Store(hn::BitCast(D(), hn::InterleaveUpper(pairs, ab_low, cd_low)), D(), columns[1]);
      hn::Store(hn::BitCast(D(), hn::InterleaveLower(pairs, ab_high, cd_high)), D(), columns[2]);
      hn::Store(hn::BitCast(D(), hn::InterleaveUpper(pairs, ab_high, cd_high)), D(), columns[3]);
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const float* const column = columns[i % 4] + i / 4 * 4;
        hn::StoreU(hn::LoadU(four, column), four, panel + (k + i) * kPanel + o);
      }
    }
    for (; k < words; ++k) {
      for (std::int64_t i = 0; i < 4; ++i) {
        panel[k * kPanel + o + i] = static_cast<float>(from[i * stride + k]);
      }
    }
  }
#endif
  for (; o < kPanel; ++o) {
    for (std::int64_t k = 0; k < words; ++k) {
      panel[k * kPanel + o] = o < outputs ? static_cast<float>(rows[o * stride + k]) : 0;
    }
  }
}

void pack_words(const float* rows, std::int64_t stride, std::int64_t outputs, std::int64_t words,
                float* panel) {
  pack_rows(rows, stride, outputs, words, panel);
}

void pack_widened(const BFloat16* rows, std::int64_t stride, std::int64_t outputs,
                  std::int64_t words, float* panel) {
  pack_rows(rows, stride, outputs, words, panel);
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::gemm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::gemm {

HWY_EXPORT(multiply_panel);
HWY_EXPORT(pack_words);
HWY_EXPORT(pack_widened);

void multiply_panel_float(const PanelProduct<float>& product) {
  HWY_DYNAMIC_DISPATCH(multiply_panel)(product);
}

void pack_panel(const float* rows, std::int64_t stride, std::int64_t outputs, std::int64_t words,
                float* panel) {
  HWY_DYNAMIC_DISPATCH(pack_words)(rows, stride, outputs, words, panel);
}

void pack_panel(const BFloat16* rows, std::int64_t stride, std::int64_t outputs, std::int64_t words,
                float* panel) {
  HWY_DYNAMIC_DISPATCH(pack_widened)(rows, stride, outputs, words, panel);
}

}  // namespace fvlm::gemm
#endif  // HWY_ONCE
