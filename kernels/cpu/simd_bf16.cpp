// Rounding to bfloat16, for processors that multiply it and take their inputs in it.
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_bf16.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// To nearest, ties to even; what is not a number stays so.
void round_to_bf16(const float* from, BFloat16* to, std::int64_t count) {
  const hn::ScalableTag<float> floats;
  const hn::RebindToUnsigned<decltype(floats)> words;
  const hn::Rebind<std::uint16_t, decltype(floats)> halves;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(floats, from + i);
    const auto bits = hn::BitCast(words, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
    const auto rounded = hn::Add(bits, hn::Add(hn::Set(words, 0x7fff), odd));
    const auto quiet_nan = hn::Or(bits, hn::Set(words, 0x400000));
    const auto kept = hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(value)), quiet_nan, rounded);
    hn::StoreU(hn::TruncateTo(halves, hn::ShiftRight<16>(kept)), halves,
               reinterpret_cast<std::uint16_t*>(to + i));
  }
  for (; i < count; ++i) to[i] = BFloat16(from[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(round_to_bf16);

void to_bf16(const float* from, BFloat16* to, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(round_to_bf16)(from, to, count);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
