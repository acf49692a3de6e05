// GEMV and skinny GEMM with a quantised matrix, and dequantisation. The layout of its words is in
// ops/weight_format.hpp.
//
// Inputs are quantised to 16 bits, which costs less accuracy than 8-bit weights do: a vector's
// error is below 2e-5 of its largest value in each element. Integer products are exact, so a
// group's sum has one value in any order; it becomes a float, times the scale, and the groups add
// up lane by lane in the order of the row, whatever the batch size.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/quantised.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

using D32 = hn::RebindToSigned<D>;
#if HWY_TARGET == HWY_SCALAR
using D16 = hn::Rebind<std::int16_t, D>;
#else
using D16 = hn::Repartition<std::int16_t, D>;
#endif

constexpr std::int64_t kWords = static_cast<std::int64_t>(hn::MaxLanes(D16()));
constexpr std::int64_t kSlice = WeightFormat::kSlice;

// Largest |x|, or not a number if one of them is not finite.
float largest(const float* x, std::int64_t count) {
  V most = zero();
  V none = zero();
  for_each_vector(count, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    const V v = part.load(x + i);
    most = hn::Max(most, hn::Abs(v));
    none = hn::Add(none, hn::Mul(v, zero()));
  });
  return max_of_lanes(most) + sum_of_lanes(none);
}

float quantise_input_to(const float* x, std::int16_t* out, std::int64_t count) {
  constexpr float kLargest = 32767;
  const float scale = largest(x, count) / kLargest;
  if (!(scale > 1e-30F)) {  // nothing there, or not a number: then so is every product
    std::fill_n(out, count, std::int16_t{0});
    return scale > 0 ? 0 : scale;
  }
  const V inverse = broadcast(1 / scale);
  const hn::Rebind<std::int16_t, D> narrow;
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const auto q = hn::NearestInt(hn::Mul(load(x + i), inverse));
    hn::StoreU(hn::DemoteTo(narrow, q), narrow, out + i);
  }
  return scale;
}

// The weights of slice kPlace of a block, of kBits each: its words' bits to the top, and down again
// with copies of the sign.
template <int kBits, int kPlace, class D, class W>
HWY_INLINE W unpack(D, W words) {
  constexpr int kTop = 8 * sizeof(hn::TFromD<D>);
  return hn::ShiftRight<kTop - kBits>(hn::ShiftLeft<kTop - kBits*(kPlace + 1)>(words));
}

// Outputs [output, output + kOutputs) of kInputs inputs from `input` on. A scale belongs to
// kGroupSlices slices, or to 1 << scale_shift times as many.
template <int kBits, int kGroupSlices, int kInputs, int kOutputs>
HWY_INLINE void quantised_tile(const QuantisedRows& weights, const MatVec& m, std::int64_t input,
                               std::int64_t output, int scale_shift) {
  constexpr int kSlices = 16 / kBits;  // of a block
  constexpr int kGroups = kSlices / kGroupSlices;
  constexpr std::int64_t kBlockWeights = kSlices * kSlice;
  constexpr std::int64_t kScales = 16;  // made floats at a time
  const std::int64_t blocks = m.padded / kBlockWeights;
  const std::int64_t row_words = blocks * kSlice;
  const std::int64_t row_scales = blocks * kGroups >> scale_shift;
  const std::int16_t* const row = weights.words + output * row_words;
  const BFloat16* const row_scale = weights.scales + output * row_scales;
  const std::int16_t* const x = m.q + input * m.padded;
  // A tile is computed in less time than a memory access takes, so the prefetch is some tiles
  // ahead.
  constexpr std::int64_t kAheadWords = 8192 / 2;
  const std::int64_t ahead = (kAheadWords / (row_words * kOutputs) + 1) * kOutputs;
  V sums[kOutputs][kInputs];
  FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
    FVLM_UNROLL for (int i = 0; i < kInputs; ++i) sums[o][i] = zero();
  }
  for (std::int64_t first = 0; first < blocks; first += kScales / kGroups) {
    const std::int64_t last = std::min(first + kScales / kGroups, blocks);
    float scales[kOutputs][kScales];
    for (int o = 0; o < kOutputs; ++o) {
      for (std::int64_t g = 0; g < (last - first) * kGroups; ++g) {
        scales[o][g] =
            static_cast<float>(row_scale[o * row_scales + ((first * kGroups + g) >> scale_shift)]);
      }
    }
    for (std::int64_t block = first; block < last; ++block) {
      for (int o = 0; o < kOutputs; ++o) {  // a later tile's rows: see matvec.cpp
        __builtin_prefetch(row + (ahead + o) * row_words + block * kSlice, 0, 2);
      }
      unroll<kGroups>([&](auto group) FVLM_LAMBDA {
        hn::Vec<D32> even[kOutputs][kInputs];
        hn::Vec<D32> odd[kOutputs][kInputs];  // used by some instruction sets only
        FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
          FVLM_UNROLL for (int i = 0; i < kInputs; ++i) {
            even[o][i] = odd[o][i] = hn::Zero(D32());
          }
        }
        unroll<kGroupSlices>([&](auto slice) FVLM_LAMBDA {
          constexpr int kPlace = group * kGroupSlices + slice;
          FVLM_UNROLL for (int k = 0; k < kSlice; k += kWords) {
            hn::Vec<D16> w[kOutputs];
            FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
              w[o] = unpack<kBits, kPlace>(
                  D16(), hn::LoadU(D16(), row + o * row_words + block * kSlice + k));
            }
            FVLM_UNROLL for (int i = 0; i < kInputs; ++i) {
              const auto v =
                  hn::LoadU(D16(), x + i * m.padded + block * kBlockWeights + kPlace * kSlice + k);
              FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
                even[o][i] = hn::ReorderWidenMulAccumulate(D32(), w[o], v, even[o][i], odd[o][i]);
              }
            }
          }
        });
        FVLM_UNROLL for (int o = 0; o < kOutputs; ++o) {
          const V scale = broadcast(scales[o][(block - first) * kGroups + group]);
          FVLM_UNROLL for (int i = 0; i < kInputs; ++i) {
            sums[o][i] =
                hn::MulAdd(hn::ConvertTo(D(), hn::Add(even[o][i], odd[o][i])), scale, sums[o][i]);
          }
        }
      });
    }
  }
  for (std::int64_t i = 0; i < kInputs; ++i) {
    for (std::int64_t o = 0; o < kOutputs; ++o) {
      float& out = m.out[(input + i) * m.out_stride + output + o];
      float value = sum_of_lanes(sums[o][i]) * m.q_scales[input + i];
      if (m.bias != nullptr) value += m.bias[output + o];
      out = m.accumulate ? out + value : value;
    }
  }
}

template <int kBits, int kGroupSlices, int kInputs>
void quantised_inputs(const QuantisedRows& weights, const MatVec& m, std::int64_t input,
                      std::int64_t first, std::int64_t last, int scale_shift) {
  // A tile has two accumulators for each output and input.
  constexpr int kOutputs = std::clamp(kRegisters * 3 / 8 / kInputs, 1, 4);
  std::int64_t output = first;
  for (; output + kOutputs <= last; output += kOutputs) {
    quantised_tile<kBits, kGroupSlices, kInputs, kOutputs>(weights, m, input, output, scale_shift);
  }
  for (; output < last; ++output) {
    quantised_tile<kBits, kGroupSlices, kInputs, 1>(weights, m, input, output, scale_shift);
  }
}

// Inputs by eights, fours, twos and one: the rows come from the cache after the first time.
template <int kBits, int kGroupSlices>
void matvec_quantised_of(const QuantisedRows& weights, const MatVec& m, std::int64_t first,
                         std::int64_t last, int scale_shift) {
  std::int64_t input = 0;
  const auto go_on = [&](auto count) {
    for (; input + count <= m.inputs; input += count) {
      quantised_inputs<kBits, kGroupSlices, count>(weights, m, input, first, last, scale_shift);
    }
  };
  go_on(Index<8>());
  go_on(Index<4>());
  go_on(Index<2>());
  go_on(Index<1>());
}

// f(Index<bits>()): the width of a format's integers as a template argument.
template <class F>
void for_integers(const WeightFormat& format, const F& f) {
  switch (format.type) {
    case WeightFormat::Type::kInt8:
      return f(Index<8>());
    case WeightFormat::Type::kInt4:
      return f(Index<4>());
    case WeightFormat::Type::kF32:
    case WeightFormat::Type::kF16:
    case WeightFormat::Type::kBF16:
      break;
  }
  assert(false && "not a quantised format");
}

void matvec_quantised(const QuantisedRows& weights, const MatVec& m, std::int64_t first,
                      std::int64_t last) {
  const bool small = weights.format.group == kSlice;
  const int shift = weights.format.group == 4 * kSlice ? 1 : 0;
  for_integers(weights.format, [&](auto bits) {
    (small ? matvec_quantised_of<bits, 1> : matvec_quantised_of<bits, 2>)(weights, m, first, last,
                                                                          shift);
  });
}

// One row of `padded` weights.
template <int kBits, class T>
void dequantise_row_of(const std::int16_t* words, const BFloat16* scales, std::int64_t padded,
                       int group, T* to) {
  constexpr int kSlices = 16 / kBits;
  const hn::Rebind<std::int16_t, D> narrow;
  for (std::int64_t block = 0; block < padded / (kSlices * kSlice); ++block) {
    unroll<kSlices>([&](auto place) FVLM_LAMBDA {
      const std::int64_t first = (block * kSlices + place) * kSlice;
      const V scale = broadcast(static_cast<float>(scales[first / group]));
      const auto weights = [&](std::int64_t k) FVLM_LAMBDA {
        const auto w = hn::PromoteTo(D32(), hn::LoadU(narrow, words + block * kSlice + k));
        return hn::Mul(hn::ConvertTo(D(), unpack<kBits, place>(D32(), w)), scale);
      };
      FVLM_UNROLL for (std::int64_t k = 0; k < kSlice; k += 2 * kLanes) {
        if constexpr (std::is_same_v<T, BFloat16>) {
          store(weights(k), weights(k + kLanes), to + first + k);
        } else {
          store(weights(k), to + first + k);
          store(weights(k + kLanes), to + first + k + kLanes);
        }
      }
    });
  }
}

template <class T>
void dequantise_of(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                   std::int64_t count, T* to) {
  const WeightFormat& format = weights.format;
  for (std::int64_t r = first; r < first + count; ++r, to += padded) {
    const std::int16_t* words = weights.words + r * (format.row_bytes(padded) / 2);
    const BFloat16* scales = weights.scales + r * format.scales(padded);
    for_integers(format, [&](auto bits) {
      dequantise_row_of<bits>(words, scales, padded, format.group, to);
    });
  }
}

void dequantise_float(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                      std::int64_t count, float* to) {
  dequantise_of(weights, padded, first, count, to);
}

void dequantise_bfloat16(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                         std::int64_t count, BFloat16* to) {
  dequantise_of(weights, padded, first, count, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(quantise_input_to);
HWY_EXPORT(matvec_quantised);
HWY_EXPORT(dequantise_float);
HWY_EXPORT(dequantise_bfloat16);

float quantise_input(const float* x, std::int16_t* out, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(quantise_input_to)(x, out, count);
}

void matvec(const QuantisedRows& weights, const MatVec& m, std::int64_t first, std::int64_t last) {
  HWY_DYNAMIC_DISPATCH(matvec_quantised)(weights, m, first, last);
}

void dequantise(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                std::int64_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(dequantise_float)(weights, padded, first, count, to);
}

void dequantise(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                std::int64_t count, BFloat16* to) {
  HWY_DYNAMIC_DISPATCH(dequantise_bfloat16)(weights, padded, first, count, to);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
