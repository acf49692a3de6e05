// GEMV and skinny GEMM: one weight matrix times one to eight vectors. Bandwidth-bound: each weight
// row is read from memory once, whatever the number of vectors.
//
// A register tile is some outputs x all inputs, one vector accumulator for each pair. An
// accumulator runs along the whole row and its lanes are added at the end, whatever the tile: that
// is the order of the sum, and it is the same at any batch size. bfloat16 weights are widened,
// which is exact; inputs stay float32.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/matvec.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

// Outputs [output, output + kOutputs) of all kInputs inputs; `row` is the weight row of the first.
template <int kInputs, int kOutputs, class Weight>
HWY_INLINE void matvec_tile(const Weight* row, const MatVec& m, std::int64_t output) {
  constexpr std::int64_t kLine = 64 / sizeof(Weight);  // elements of a cache line
  V sums[kOutputs][kInputs];
  FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
    FVLM_UNROLL for (int i = 0; i < kInputs; ++i) sums[o][i] = zero();
  }
  for (std::int64_t line = 0; line < m.padded; line += kLine) {
    // Prefetches the next tile's rows into L2: the hardware prefetcher follows a stream of
    // addresses, but not beyond the end of a row of ordinary length. No effect after the last row.
    for (int o = 0; o < kOutputs; ++o) {
      __builtin_prefetch(row + (kOutputs + o) * m.padded + line, 0, 2);
    }
    for (std::int64_t k = line; k < line + kLine; k += kLanes) {
      V w[kOutputs];
      FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) w[o] = load(row + o * m.padded + k);
      FVLM_UNROLL for (int i = 0; i < kInputs; ++i) {
        const V x = load(m.x + i * m.padded + k);
        FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
          sums[o][i] = hn::MulAdd(w[o], x, sums[o][i]);
        }
      }
    }
  }
  for (std::int64_t i = 0; i < kInputs; ++i) {
    for (std::int64_t o = 0; o < kOutputs; ++o) {
      float& out = m.out[i * m.out_stride + output + o];
      float value = sum_of_lanes(sums[o][i]);
      if (m.bias != nullptr) value += m.bias[output + o];
      out = m.accumulate ? out + value : value;
    }
  }
}

template <int kInputs, class Weight>
void matvec_inputs(const Weight* weight, const MatVec& m, std::int64_t first, std::int64_t last) {
  // At most three quarters of the registers accumulate. Four rows hide the latency of an FMA.
  constexpr int kOutputs = std::clamp(kRegisters * 3 / 4 / kInputs, 1, 4);
  std::int64_t output = first;
  for (; output + kOutputs <= last; output += kOutputs) {
    matvec_tile<kInputs, kOutputs>(weight + output * m.padded, m, output);
  }
  for (; output < last; ++output) {
    matvec_tile<kInputs, 1>(weight + output * m.padded, m, output);
  }
}

template <class Weight>
void matvec_of(const Weight* weight, const MatVec& m, std::int64_t first, std::int64_t last) {
  unroll<kMaxInputs>([&](auto i) FVLM_LAMBDA {
    if (m.inputs == i + 1) matvec_inputs<i + 1>(weight, m, first, last);
  });
}

void matvec_float(const float* weight, const MatVec& m, std::int64_t first, std::int64_t last) {
  matvec_of(weight, m, first, last);
}

void matvec_bfloat16(const BFloat16* weight, const MatVec& m, std::int64_t first,
                     std::int64_t last) {
  matvec_of(weight, m, first, last);
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(matvec_float);
HWY_EXPORT(matvec_bfloat16);

void matvec(const float* weight, const MatVec& m, std::int64_t first, std::int64_t last) {
  HWY_DYNAMIC_DISPATCH(matvec_float)(weight, m, first, last);
}

void matvec(const BFloat16* weight, const MatVec& m, std::int64_t first, std::int64_t last) {
  HWY_DYNAMIC_DISPATCH(matvec_bfloat16)(weight, m, first, last);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
