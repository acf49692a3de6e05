// Resizes one row of RGB pixels. A vector of 16-bit lanes holds two neighbouring pixels, channel by
// channel: (r0 r1 g0 g1 b0 b1 0 0). One multiply-add instruction with the weights (w0 w1 w0 w1 ...)
// then gives the 32-bit sums of both pixels for all three channels, and no sum ever has to cross
// lanes. Weights have more than 16 bits, so their high and low parts take an instruction each. 128
// bits are enough: wider vectors would hold more taps than most reductions have.
#include "runtime/image_resize_row.hpp"

#include "kernels/cpu/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/image_resize_row.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>

HWY_BEFORE_NAMESPACE();
namespace fvlm {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

// For machines without vectors: the same sums, one at a time.
void resize_row(const std::uint8_t* in, const RowFilter& filter, std::uint8_t* out) {
  const WeightPair* pairs = filter.pairs.data();
  for (const Taps taps : filter.taps) {
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      const std::uint8_t* samples = in + taps.first * 3 + channel;
      std::int32_t sum = 1 << (kWeightFractionBits - 1);
      for (std::int64_t k = 0; k < taps.count; ++k) {
        const WeightPair& pair = pairs[k / 2];
        sum += samples[k * 3] * (pair.high[k % 2] * 256 + pair.low[k % 2]);
      }
      *out++ = static_cast<std::uint8_t>(std::clamp(sum >> kWeightFractionBits, 0, 255));
    }
    pairs += filter.stride;
  }
}

#else

namespace hn = hwy::HWY_NAMESPACE;

void resize_row(const std::uint8_t* in, const RowFilter& filter, std::uint8_t* out) {
  const hn::Full128<std::uint8_t> bytes;
  const hn::Full128<std::int16_t> words;
  const hn::Full128<std::int32_t> sums;
  const hn::Rebind<std::uint8_t, decltype(sums)> result;
  constexpr std::uint8_t kZero = 0x80;
  alignas(16) static constexpr std::uint8_t kPixelPair[16] = {
      0, kZero, 3, kZero, 1, kZero, 4, kZero, 2, kZero, 5, kZero, kZero, kZero, kZero, kZero};
  const auto pixel_pair = hn::Load(bytes, kPixelPair);
  const auto half = hn::Set(sums, 1 << (kWeightFractionBits - 1));

  const WeightPair* pairs = filter.pairs.data();
  for (const Taps taps : filter.taps) {
    const std::uint8_t* pixels = in + taps.first * 3;
    auto high = hn::Zero(sums);
    auto high_more = hn::Zero(sums);
    auto low = half;
    auto low_more = hn::Zero(sums);
    for (std::int64_t k = 0; k * 2 < taps.count; ++k) {
      const auto pixel =
          hn::BitCast(words, hn::TableLookupBytesOr0(hn::LoadU(bytes, pixels + k * 6), pixel_pair));
      const auto high_weight = hn::Set(sums, std::bit_cast<std::int32_t>(pairs[k].high));
      const auto low_weight = hn::Set(sums, std::bit_cast<std::int32_t>(pairs[k].low));
      high = hn::ReorderWidenMulAccumulate(sums, pixel, hn::BitCast(words, high_weight), high,
                                           high_more);
      low =
          hn::ReorderWidenMulAccumulate(sums, pixel, hn::BitCast(words, low_weight), low, low_more);
    }
    high = hn::RearrangeToOddPlusEven(high, high_more);
    low = hn::RearrangeToOddPlusEven(low, low_more);
    const auto sum = hn::Add(hn::ShiftLeft<8>(high), low);
    hn::StoreU(hn::DemoteTo(result, hn::ShiftRight<kWeightFractionBits>(sum)), result, out);
    out += 3;
    pairs += filter.stride;
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace fvlm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm {

HWY_EXPORT(resize_row);

void resize_row(const std::uint8_t* in, const RowFilter& filter, std::uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(resize_row)(in, filter, out);
}

}  // namespace fvlm
#endif
