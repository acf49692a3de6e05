// Elementwise SIMD kernels: activations, conversions, rotation.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

void gelu_of(float* x, std::int64_t count) {
  for_each_vector(count, [&](std::int64_t i, auto part)
                             FVLM_LAMBDA { part.store(gelu(part.load(x + i)), x + i); });
}

// x (1 + erf(x / sqrt 2)) / 2, absolute error below 3.5e-5 max(1, |x|), a hundredth of what
// rounding to bfloat16 takes from 1. The form is that of gelu(), with a polynomial in x^2 of degree
// 7 whose value at the ends was held at 1/2, so that nothing needs to be cut behind it.
HWY_INLINE V rough_gelu(V x) {
  constexpr float kCoefficients[] = {0.398743331F,    -0.0659932494F, 0.0095558418F,
                                     -0.00101740111F, 7.60522089e-5F, -3.72413319e-6F,
                                     1.05899822e-7F,  -1.31390265e-9F};
  constexpr int kDegree = 7;
  constexpr float kEnd = 4.02F;
  const V bounded = hn::Min(hn::Max(broadcast(-kEnd), x), broadcast(kEnd));
  const V square = hn::Mul(bounded, bounded);
  V p = broadcast(kCoefficients[kDegree]);
  unroll<kDegree>([&](auto i) FVLM_LAMBDA {
    p = hn::MulAdd(p, square, broadcast(kCoefficients[kDegree - 1 - i]));
  });
  return hn::Mul(x, hn::MulAdd(bounded, p, broadcast(0.5F)));
}

void bfloat16_gelu(BFloat16* x, std::int64_t count) {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  // The even and the odd ones of a vector: both are made floats and put back together by shifting
  // and masking, where they stand.
  const hn::Repartition<std::uint16_t, D> halves;
  const hn::RebindToUnsigned<D> words;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    auto* at = reinterpret_cast<std::uint16_t*>(x + i);
    const auto both = hn::BitCast(words, hn::LoadU(halves, at));
    const V even = rough_gelu(hn::BitCast(D(), hn::ShiftLeft<16>(both)));
    const V odd = rough_gelu(hn::BitCast(D(), hn::And(both, hn::Set(words, 0xffff0000U))));
    const auto low = hn::BitCast(halves, hn::ShiftRight<16>(nearest_bfloat16(even)));
    hn::StoreU(hn::OddEven(hn::BitCast(halves, nearest_bfloat16(odd)), low), halves, at);
  }
#endif
  for_each_vector(count - i, [&](std::int64_t j, auto part) FVLM_LAMBDA {
    part.store(rough_gelu(part.load(x + i + j)), x + i + j);
  });
}

void gelu_scaled_of(const float* x, const float* scale, float* out, std::int64_t count) {
  for_each_vector(count, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    part.store(gelu(hn::Mul(part.load(x + i), part.load(scale + i))), out + i);
  });
}

void swiglu_of(const float* gate, const float* up, float* out, std::int64_t count) {
  const V one = broadcast(1.0F);
  for_each_vector(count, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    const V g = part.load(gate + i);
    // Where e^-g would overflow, the quotient is as good as zero at e^88 already.
    const V e = exp(hn::Min(broadcast(88.0F), hn::Neg(g)));
    part.store(hn::Mul(hn::Div(g, hn::Add(one, e)), part.load(up + i)), out + i);
  });
}

void bfloat16_to_float(const BFloat16* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(load(from + i), to + i);
}

void float_to_bfloat16(const float* from, BFloat16* to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes)
    store(load(from + i), load(from + i + kLanes), to + i);
  for_each_vector(count - i, [&](std::int64_t j, auto part)
                                 FVLM_LAMBDA { part.store(part.load(from + i + j), to + i + j); });
}

void rotate_heads(float* heads, std::int64_t count, std::int64_t head_dim, const float* cosine,
                  const float* sine) {
  const std::int64_t half = head_dim / 2;
  for (std::int64_t h = 0; h < count; ++h) {
    float* first = heads + h * head_dim;
    float* second = first + half;
    for_each_vector(half, [&](std::int64_t i, auto part) FVLM_LAMBDA {
      const V c = part.load(cosine + i);
      const V s = part.load(sine + i);
      const V x1 = part.load(first + i);
      const V x2 = part.load(second + i);
      part.store(hn::NegMulAdd(x2, s, hn::Mul(x1, c)), first + i);
      part.store(hn::MulAdd(x1, s, hn::Mul(x2, c)), second + i);
    });
  }
}

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(gelu_of);
HWY_EXPORT(bfloat16_gelu);
HWY_EXPORT(gelu_scaled_of);
HWY_EXPORT(swiglu_of);
HWY_EXPORT(bfloat16_to_float);
HWY_EXPORT(float_to_bfloat16);
HWY_EXPORT(rotate_heads);
HWY_EXPORT(target_name);

void gelu(float* x, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_of)(x, count);
}

void gelu(BFloat16* x, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(bfloat16_gelu)(x, count);
}

void gelu_scaled(const float* x, const float* scale, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(gelu_scaled_of)(x, scale, out, count);
}

void swiglu(const float* gate, const float* up, float* out, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(swiglu_of)(gate, up, out, count);
}

void to_float(const BFloat16* from, float* to, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(bfloat16_to_float)(from, to, count);
}

void to_bf16(const float* from, BFloat16* to, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(float_to_bfloat16)(from, to, count);
}

void rotate(float* heads, std::int64_t count, std::int64_t head_dim, const float* cosine,
            const float* sine) {
  HWY_DYNAMIC_DISPATCH(rotate_heads)(heads, count, head_dim, cosine, sine);
}

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

void limit_vectors(int bits) {
  hwy::DisableTargets((bits < 512 ? HWY_AVX3 : 0) | (bits < 256 ? HWY_AVX2 : 0));
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
