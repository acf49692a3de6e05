// What the SIMD kernels share, compiled once for each instruction set: the vector type, loads and
// stores that may be partial, loops over rows, unrolling, exp and GELU.
//
// Full and Some say how many elements of a vector are in memory. A kernel that takes one of them as
// `part` is compiled twice: without masks for nearly all of the work, with them for what is left
// over. Nothing outside [p, p + count) is ever touched.

// Highway's idiom for a header that is included once per instruction set instead of once.
#if defined(FVLM_KERNELS_CPU_SIMD_MATH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef FVLM_KERNELS_CPU_SIMD_MATH_INL_HPP
#undef FVLM_KERNELS_CPU_SIMD_MATH_INL_HPP
#else
#define FVLM_KERNELS_CPU_SIMD_MATH_INL_HPP
#endif

#include <hwy/highway.h>

// Attributes of every lambda in a kernel: the instruction set, which Clang does not pass on to it,
// and inlining, without which vectors that it captures would live in memory.
#ifndef FVLM_LAMBDA
#define FVLM_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

// In front of a loop over an array of vectors, of a constant length: only if it is unrolled
// completely does the array live in registers. Emulated vectors would not, and take minutes to
// compile so.
#undef FVLM_UNROLL
#if HWY_TARGET == HWY_SCALAR || (defined(HWY_EMU128) && HWY_TARGET == HWY_EMU128)
#define FVLM_UNROLL
#elif HWY_COMPILER_CLANG
#define FVLM_UNROLL _Pragma("unroll")
#else
#define FVLM_UNROLL _Pragma("GCC unroll 64")
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "fvlm/core/element.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;  // 16 floats with AVX-512, 8 with AVX2, 4 with NEON
using V = hn::Vec<D>;

inline constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
// Vector registers: decides the size of register tiles.
inline constexpr int kRegisters = (kLanes == 16 || HWY_ARCH_ARM_A64) ? 32 : 16;

HWY_INLINE V load(const float* p) {
  return hn::LoadU(D(), p);
}
// Widens bfloat16, exactly: its bits are the upper half of a float.
HWY_INLINE V load(const BFloat16* p) {
  const hn::RebindToUnsigned<D> wide;
  const hn::Rebind<std::uint16_t, D> narrow;
  const auto bits = hn::LoadU(narrow, reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(wide, bits)));
}
HWY_INLINE void store(V v, float* p) {
  hn::StoreU(v, D(), p);
}
// The bits of v rounded to bfloat16, to nearest, ties to even, in the upper halves of the words;
// what lies in the lower halves has no meaning. A quiet NaN, which is all that arithmetic makes,
// stays.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> rounded_to_bfloat16(V v) {
  const hn::RebindToUnsigned<D> words;
  const auto bits = hn::BitCast(words, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto up = hn::Add(hn::Set(words, 0x7fff), odd);
  return hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(v)), bits, hn::Add(bits, up));
}
HWY_INLINE void store(V v, BFloat16* p) {
  const hn::Rebind<std::uint16_t, D> halves;
  hn::StoreU(hn::TruncateTo(halves, hn::ShiftRight<16>(rounded_to_bfloat16(v))), halves,
             reinterpret_cast<std::uint16_t*>(p));
}
// The same in one instruction: ties go away from zero, and a NaN whose lower half has its highest
// bit set may become something else.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> nearest_bfloat16(V v) {
  const hn::RebindToUnsigned<D> words;
  return hn::Add(hn::BitCast(words, v), hn::Set(words, 0x8000));
}
// The upper halves of the words of two neighbours, where vectors have halves: half the work of
// storing them one by one.
HWY_INLINE void store_upper_halves(hn::Vec<hn::RebindToUnsigned<D>> first,
                                   hn::Vec<hn::RebindToUnsigned<D>> second, BFloat16* p) {
  auto* to = reinterpret_cast<std::uint16_t*>(p);
#if HWY_TARGET == HWY_SCALAR
  to[0] = static_cast<std::uint16_t>(hn::GetLane(first) >> 16);
  to[1] = static_cast<std::uint16_t>(hn::GetLane(second) >> 16);
#else
  const hn::Repartition<std::uint16_t, D> halves;
  hn::StoreU(hn::ConcatOdd(halves, hn::BitCast(halves, second), hn::BitCast(halves, first)), halves,
             to);
#endif
}
HWY_INLINE void store(V first, V second, BFloat16* p) {
  store_upper_halves(rounded_to_bfloat16(first), rounded_to_bfloat16(second), p);
}
HWY_INLINE V broadcast(float value) {
  return hn::Set(D(), value);
}
HWY_INLINE V zero() {
  return hn::Zero(D());
}
HWY_INLINE float sum_of_lanes(V v) {
  return hn::GetLane(hn::SumOfLanes(D(), v));
}
HWY_INLINE float max_of_lanes(V v) {
  return hn::GetLane(hn::MaxOfLanes(D(), v));
}

// All elements of a vector are in memory.
struct Full {
  static constexpr std::int64_t count() { return kLanes; }
  template <class T>
  static HWY_INLINE V load(const T* p) {
    return HWY_NAMESPACE::load(p);
  }
  template <class T>
  static HWY_INLINE void store(V v, T* p) {
    HWY_NAMESPACE::store(v, p);
  }
  static HWY_INLINE V select(V v, V) { return v; }
};

// The first `elements` (1..kLanes) are; loads give zeros for the others.
class Some {
 public:
  explicit Some(std::int64_t elements) : elements_(elements) {}

  std::int64_t count() const { return elements_; }
#if HWY_MEM_OPS_MIGHT_FAULT  // a masked load may read the whole vector
  HWY_NOINLINE V load(const float* p) const {
    float all[kLanes] = {};
    for (std::int64_t i = 0; i < elements_; ++i) all[i] = p[i];
    return HWY_NAMESPACE::load(all);
  }
  HWY_NOINLINE void store(V v, float* p) const {
    float all[kLanes];
    HWY_NAMESPACE::store(v, all);
    for (std::int64_t i = 0; i < elements_; ++i) p[i] = all[i];
  }
#else
  HWY_INLINE V load(const float* p) const {
    return hn::MaskedLoad(mask(), D(), p);
  }
  HWY_INLINE void store(V v, float* p) const {
    hn::BlendedStore(v, mask(), D(), p);
  }
#endif
  HWY_NOINLINE V load(const BFloat16* p) const {
    BFloat16 all[kLanes] = {};
    for (std::int64_t i = 0; i < elements_; ++i) all[i] = p[i];
    return HWY_NAMESPACE::load(all);
  }
  HWY_NOINLINE void store(V v, BFloat16* p) const {
    BFloat16 all[kLanes];
    HWY_NAMESPACE::store(v, all);
    for (std::int64_t i = 0; i < elements_; ++i) p[i] = all[i];
  }
  // v, with `other` in the lanes that are not in memory.
  HWY_INLINE V select(V v, V other) const {
    return hn::IfThenElse(mask(), v, other);
  }

 private:
  HWY_INLINE hn::Mask<D> mask() const {
    return hn::FirstN(D(), static_cast<std::size_t>(elements_));
  }

  std::int64_t elements_;
};

// body(i, part) for the vectors that cover [0, count): `part` of a vector begins at element i.
template <class Body>
HWY_INLINE void for_each_vector(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, Full{});
  if constexpr (kLanes > 1) {
    if (i < count) body(i, Some(count - i));
  }
}

template <int i>
using Index = std::integral_constant<int, i>;

// body(Index<0>), ..., body(Index<count - 1>): unrolled for certain, which is what keeps an array
// of vectors in registers.
template <int count, class Body>
HWY_INLINE void unroll(const Body& body) {
  [&]<int... i>(std::integer_sequence<int, i...>) FVLM_LAMBDA {
    (body(Index<i>{}), ...);
  }
  (std::make_integer_sequence<int, count>{});
}

// e^x, relative error below 3e-7, for x up to 88.3; smaller x than -87 count as -87 (1.6e-38).
// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r = 1 + r + r^2 q(r), where q was fitted by us: a
// polynomial with the least largest relative error of e^r (reweighted least squares), 3e-9.
HWY_INLINE V exp(V x) {
  constexpr D d;
  constexpr float kLn2High = 0.693115234375F;  // 12 bits, so that n * kLn2High is exact
  constexpr float kLn2Low = 3.19461849e-5F;
  const V bounded = hn::Max(broadcast(-87.0F), x);  // in this order NaN stays NaN
  const V n = hn::Round(hn::Mul(bounded, broadcast(1.44269504F)));
  const V r = hn::NegMulAdd(n, broadcast(kLn2Low), hn::NegMulAdd(n, broadcast(kLn2High), bounded));
  V q = broadcast(0.00138146128F);
  q = hn::MulAdd(q, r, broadcast(0.00836871006F));
  q = hn::MulAdd(q, r, broadcast(0.041668389F));
  q = hn::MulAdd(q, r, broadcast(0.166665211F));
  q = hn::MulAdd(q, r, broadcast(0.49999994F));
  const V e_to_r = hn::MulAdd(hn::Mul(r, r), q, hn::Add(r, broadcast(1.0F)));
  // 2^n: n goes into the exponent bits.
  const hn::RebindToSigned<D> di;
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::Mul(e_to_r, hn::BitCast(d, exponent));
}

// 2^x for x up to 127, relative error below 8e-5, a twentieth of what rounding to bfloat16 takes;
// smaller x than -125 count as -125. x = n + r with |r| <= 1/2; the polynomial for 2^r was fitted
// as that of exp().
HWY_INLINE V rough_exp2(V x) {
  const hn::RebindToSigned<D> di;
  const V bounded = hn::Max(broadcast(-125.0F), x);  // in this order NaN stays NaN
  const V n = hn::Round(bounded);
  const V r = hn::Sub(bounded, n);
  V p = broadcast(0.0551716685F);
  p = hn::MulAdd(p, r, broadcast(0.242611125F));
  p = hn::MulAdd(p, r, broadcast(0.693260968F));
  p = hn::MulAdd(p, r, broadcast(0.999928057F));
  // 2^n: n is added to the exponent bits.
  return hn::BitCast(D(), hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::ConvertTo(di, n))));
}

// x (1 + erf(x / sqrt 2)) / 2, absolute error below 5e-7 max(1, |x|).
// erf(x / sqrt 2) / 2 = x p(u) for |x| <= 5.25 with u = 2 (x / 5.25)^2 - 1, which keeps the terms
// of p of one size. p was fitted by us: degree 12, the least largest error of GELU / max(1,
// |x|), 3.2e-7 (reweighted least squares at Chebyshev points, in double). It passes 1/2 just
// before 5.25 and is cut there: GELU(x) is exactly x above and exactly 0 below -5.25.
HWY_INLINE V gelu(V x) {
  constexpr float kCoefficients[] = {
      0.134659305F,   -0.0671256855F,  0.0496487394F,  -0.0397989303F, 0.0319977589F,
      -0.0247248355F, 0.0186549667F,   -0.0139812361F, 0.00834372267F, -0.00323039107F,
      0.00260201283F, -0.00298917317F, 0.0011818863F};
  constexpr int kDegree = 12;
  constexpr float kEnd = 5.25F;
  const V bounded = hn::Min(hn::Max(x, broadcast(-kEnd)), broadcast(kEnd));
  const V u = hn::MulAdd(hn::Mul(bounded, bounded), broadcast(2 / (kEnd * kEnd)), broadcast(-1.0F));
  V p = broadcast(kCoefficients[kDegree]);
  unroll<kDegree>(
      [&](auto i) FVLM_LAMBDA { p = hn::MulAdd(p, u, broadcast(kCoefficients[kDegree - 1 - i])); });
  const V half = broadcast(0.5F);
  const V half_erf = hn::Min(hn::Max(hn::Mul(bounded, p), hn::Neg(half)), half);
  return hn::Mul(x, hn::Add(half, half_erf));
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#endif  // FVLM_KERNELS_CPU_SIMD_MATH_INL_HPP
