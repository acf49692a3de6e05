// GEMM in bfloat16 with AVX512_BF16: as ../simd/gemm_panel.cpp, but a step of the depth is two
// elements of each input, and an instruction adds two products to each of 16 sums. Highway 1.0 does
// not know these instructions.
#ifdef __x86_64__
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/gemm/gemm.hpp"
#include "kernels/cpu/gemm/panel.hpp"

namespace fvlm::gemm {
namespace {

// Only if loops over arrays of vectors are unrolled do these live in registers.
#ifdef __clang__
#define FVLM_UNROLL _Pragma("unroll")
#else
#define FVLM_UNROLL _Pragma("GCC unroll 32")
#endif
#define FVLM_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

constexpr std::int64_t kLanes = 16;

// Two elements of an input, in each lane. The last element of an odd depth has none beside it.
FVLM_BF16 inline __m512i broadcast_pair(const BFloat16* x, bool whole) {
  std::int32_t pair = 0;
  if (whole) {
    std::memcpy(&pair, x, sizeof(pair));
  } else {
    std::memcpy(&pair, x, sizeof(*x));
  }
  return _mm512_set1_epi32(pair);
}

template <int kRows>
FVLM_BF16 void multiply_tile(const PanelProduct<BFloat16>& p, std::int64_t row) {
  const BFloat16* const x = p.inputs + row * p.input_stride;
  float* const out = p.sums + row * p.sum_stride;
  __m512 sums[kRows][2];
  FVLM_UNROLL for (int r = 0; r < kRows; ++r) {
    FVLM_UNROLL for (int v = 0; v < 2; ++v) {
      sums[r][v] = p.start == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(p.start + v * kLanes);
      if (p.accumulate) {
        sums[r][v] =
            _mm512_add_ps(_mm512_loadu_ps(out + r * p.sum_stride + v * kLanes), sums[r][v]);
      }
    }
  }
  const BFloat16* weights = p.panel;
  for (std::int64_t k = 0; k < p.depth; k += 2) {
    const auto low = (__m512bh)_mm512_loadu_si512(weights);
    const auto high = (__m512bh)_mm512_loadu_si512(weights + kPanel);
    weights += 2 * kPanel;
    FVLM_UNROLL for (int r = 0; r < kRows; ++r) {
      const auto value = (__m512bh)broadcast_pair(x + r * p.input_stride + k, k + 1 < p.depth);
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], low, value);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], high, value);
    }
  }
  FVLM_UNROLL for (int r = 0; r < kRows; ++r) {
    FVLM_UNROLL for (int v = 0; v < 2; ++v) {
      _mm512_storeu_ps(out + r * p.sum_stride + v * kLanes, sums[r][v]);
    }
  }
}

}  // namespace

void multiply_panel_pairs(const PanelProduct<BFloat16>& p) {
  constexpr int kInputs = 12;
  std::int64_t row = 0;
  for (; row + kInputs <= p.rows; row += kInputs) multiply_tile<kInputs>(p, row);
  for (; row + 4 <= p.rows; row += 4) multiply_tile<4>(p, row);
  for (; row < p.rows; ++row) multiply_tile<1>(p, row);
}

FVLM_BF16 std::int64_t multiply_adds_pairs(std::int64_t rounds, float* result) {
  constexpr int kSums = 24;
  const auto pairs = (__m512bh)_mm512_set1_epi16(0x3f00);  // 0.5
  __m512 sums[kSums];
  FVLM_UNROLL for (int i = 0; i < kSums; ++i) sums[i] = _mm512_setzero_ps();
  for (std::int64_t round = 0; round < rounds; ++round) {
    FVLM_UNROLL for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], pairs, pairs);
  }
  FVLM_UNROLL for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  *result = _mm512_reduce_add_ps(sums[0]);
  return rounds * kSums * 2 * kLanes;
}

}  // namespace fvlm::gemm
#endif  // __x86_64__
