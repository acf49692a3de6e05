// Along a row: its three channels are taken apart first, so that one instruction multiplies
// neighbouring samples of a channel, and each output ends with one sum over a vector's lanes.
// Across rows: bytes of two lines are interleaved, so that one instruction multiplies and adds the
// samples of both.
#include "runtime/image/resize.hpp"

#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/image/resize.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace fvlm {
namespace HWY_NAMESPACE {

constexpr std::int32_t kRounding = 1 << (kWeightFractionBits - 1);

inline std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightFractionBits, 0, 255));
}

void combine_bytes(std::span<const std::uint8_t* const> lines,
                   std::span<const std::int32_t> weights, std::int64_t from, std::int64_t to,
                   std::uint8_t* out) {
  for (std::int64_t i = from; i < to; ++i) {
    std::int32_t sum = kRounding;
    for (std::size_t k = 0; k < lines.size(); ++k) sum += lines[k][i] * weights[k];
    out[i] = to_byte(sum);
  }
}

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

// For machines without vectors: the same sums, one at a time.
void split_channels(const std::uint8_t* in, std::int64_t width, std::int64_t plane,
                    std::uint8_t* planes) {
  for (std::int64_t i = 0; i < 3 * width; ++i) planes[i % 3 * plane + i / 3] = in[i];
}

void resize_planes(const std::uint8_t* planes, std::int64_t plane, const RowResizer::Filter& filter,
                   std::uint8_t* out) {
  const std::int16_t* high = filter.high.data();
  const std::int16_t* low = filter.low.data();
  for (const Taps taps : filter.taps) {
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      const std::uint8_t* samples = planes + channel * plane + taps.first;
      std::int32_t sum = kRounding;
      for (std::int64_t k = 0; k < taps.count; ++k) sum += samples[k] * (high[k] * 256 + low[k]);
      *out++ = to_byte(sum);
    }
    high += filter.stride;
    low += filter.stride;
  }
}

void combine_lines(std::span<const std::uint8_t* const> lines,
                   std::span<const std::int32_t> weights, std::int64_t count, std::uint8_t* out) {
  combine_bytes(lines, weights, 0, count, out);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

void split_channels(const std::uint8_t* in, std::int64_t width, std::int64_t plane,
                    std::uint8_t* planes) {
  const hn::ScalableTag<std::uint8_t> bytes;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(bytes));
  std::int64_t x = 0;
  for (; x + lanes <= width; x += lanes) {
    auto red = hn::Undefined(bytes);
    auto green = hn::Undefined(bytes);
    auto blue = hn::Undefined(bytes);
    hn::LoadInterleaved3(bytes, in + 3 * x, red, green, blue);
    hn::StoreU(red, bytes, planes + x);
    hn::StoreU(green, bytes, planes + plane + x);
    hn::StoreU(blue, bytes, planes + 2 * plane + x);
  }
  for (; x < width; ++x) {
    for (std::int64_t c = 0; c < 3; ++c) planes[c * plane + x] = in[3 * x + c];
  }
}

// Weighted sums, high and low parts of the weights apart. A product of two vectors may add to both
// vectors of a pair.
template <class Words>
struct SplitSum {
  using Sums = hn::RepartitionToWide<Words>;
  using V = hn::Vec<Sums>;
  V high, high_more, low, low_more;

  HWY_INLINE SplitSum()
      : high(hn::Zero(Sums())),
        high_more(hn::Zero(Sums())),
        low(hn::Zero(Sums())),
        low_more(hn::Zero(Sums())) {}
  template <class W>
  HWY_INLINE void add(W samples, W high_weights, W low_weights) {
    high = hn::ReorderWidenMulAccumulate(Sums(), samples, high_weights, high, high_more);
    low = hn::ReorderWidenMulAccumulate(Sums(), samples, low_weights, low, low_more);
  }
  // Of the products of lanes 2i and 2i + 1 in lane i.
  HWY_INLINE V pairs() const {
    return hn::Add(hn::ShiftLeft<8>(hn::RearrangeToOddPlusEven(high, high_more)),
                   hn::RearrangeToOddPlusEven(low, low_more));
  }
};

// The sums of a vector's lanes, four of them apart.
template <class D, class V>
HWY_INLINE auto fold_to_four(D d, V v) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    return fold_to_four(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    return v;
  }
}

template <class Words>
HWY_INLINE void resize_planes_by(Words words, const std::uint8_t* planes, std::int64_t plane,
                                 const RowResizer::Filter& filter, std::uint8_t* out) {
  const hn::RepartitionToWide<Words> sums;
  const hn::Rebind<std::uint8_t, Words> samples;
  const hn::CappedTag<std::int32_t, 4> four;
  const hn::Rebind<std::uint8_t, decltype(four)> bytes;
  const auto rounding = hn::Set(four, kRounding);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(words));
  const std::int16_t* high = filter.high.data();
  const std::int16_t* low = filter.low.data();
  for (const Taps taps : filter.taps) {
    const std::uint8_t* in = planes + taps.first;
    SplitSum<Words> red, green, blue;
    for (std::int64_t k = 0; k < taps.count; k += lanes) {
      const auto high_weights = hn::LoadU(words, high + k);
      const auto low_weights = hn::LoadU(words, low + k);
      const auto at = [&](std::int64_t channel) HWY_ATTR {
        return hn::PromoteTo(words, hn::LoadU(samples, in + channel * plane + k));
      };
      red.add(at(0), high_weights, low_weights);
      green.add(at(1), high_weights, low_weights);
      blue.add(at(2), high_weights, low_weights);
    }
    // (r g b 0), each the sum of its vector.
    const auto r = fold_to_four(sums, red.pairs());
    const auto g = fold_to_four(sums, green.pairs());
    const auto b = fold_to_four(sums, blue.pairs());
    const auto zero = hn::Zero(four);
    const auto r_b = hn::Add(hn::InterleaveLower(four, r, b), hn::InterleaveUpper(four, r, b));
    const auto g_0 =
        hn::Add(hn::InterleaveLower(four, g, zero), hn::InterleaveUpper(four, g, zero));
    const auto total =
        hn::Add(hn::InterleaveLower(four, r_b, g_0), hn::InterleaveUpper(four, r_b, g_0));
    const auto rounded = hn::ShiftRight<kWeightFractionBits>(hn::Add(total, rounding));
    hn::StoreU(hn::DemoteTo(bytes, rounded), bytes, out);
    out += 3;
    high += filter.stride;
    low += filter.stride;
  }
}

// Wider vectors would hold more samples than most filters have.
void resize_planes(const std::uint8_t* planes, std::int64_t plane, const RowResizer::Filter& filter,
                   std::uint8_t* out) {
  if (filter.stride <= 8) {
    resize_planes_by(hn::CappedTag<std::int16_t, 8>(), planes, plane, filter, out);
  } else {
    resize_planes_by(hn::CappedTag<std::int16_t, 16>(), planes, plane, filter, out);
  }
}

void combine_lines(std::span<const std::uint8_t* const> lines,
                   std::span<const std::int32_t> weights, std::int64_t count, std::uint8_t* out) {
  const hn::CappedTag<std::int16_t, 16> words;
  using Sum = SplitSum<decltype(words)>;
  const Sum::Sums sums;
  const hn::Rebind<std::uint8_t, decltype(words)> samples;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(words));
  const auto rounding = hn::Set(sums, kRounding);
  // The same part of two weights, for each pair of lanes.
  const auto pair = [&](std::int32_t first, std::int32_t second) {
    const auto word = [](std::int32_t w) { return static_cast<std::uint32_t>(w) & 0xffff; };
    return hn::BitCast(
        words, hn::Set(sums, std::bit_cast<std::int32_t>(word(first) | word(second) << 16)));
  };
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    Sum lower, upper;
    for (std::size_t k = 0; k < lines.size(); k += 2) {
      const bool has_two = k + 1 < lines.size();
      const std::int32_t first_weight = weights[k];
      const std::int32_t second_weight = has_two ? weights[k + 1] : 0;
      const auto first = hn::PromoteTo(words, hn::LoadU(samples, lines[k] + i));
      const auto second =
          hn::PromoteTo(words, hn::LoadU(samples, lines[k + (has_two ? 1 : 0)] + i));
      const auto high_weights = pair(first_weight >> 8, second_weight >> 8);
      const auto low_weights = pair(first_weight & 0xff, second_weight & 0xff);
      lower.add(hn::InterleaveLower(words, first, second), high_weights, low_weights);
      upper.add(hn::InterleaveUpper(words, first, second), high_weights, low_weights);
    }
    const auto rounded = [&](const Sum& sum) {
      return hn::ShiftRight<kWeightFractionBits>(hn::Add(sum.pairs(), rounding));
    };
    // Interleaving and this both work on halves of 16 bytes, so that bytes are in order again.
    const auto both = hn::ReorderDemote2To(words, rounded(lower), rounded(upper));
    hn::StoreU(hn::DemoteTo(samples, both), samples, out + i);
  }
  combine_bytes(lines, weights, i, count, out);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace fvlm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm {

HWY_EXPORT(split_channels);
HWY_EXPORT(resize_planes);
HWY_EXPORT(combine_lines);

namespace {

constexpr std::int64_t kLanes = 8;       // of the least vectors that hold weights,
constexpr std::int64_t kMostLanes = 16;  // and of the widest

}  // namespace

RowResizer::RowResizer(const ResizeAxis& axis, std::int64_t width)
    : width_(width), plane_(width + kMostLanes), planes_(static_cast<std::size_t>(3 * plane_)) {
  filter_.taps.assign(axis.taps.begin() + axis.begin, axis.taps.begin() + axis.end);
  const std::int64_t lanes = axis.stride <= kLanes ? kLanes : kMostLanes;
  filter_.stride = (axis.stride + lanes - 1) / lanes * lanes;
  const auto room = filter_.taps.size() * static_cast<std::size_t>(filter_.stride);
  filter_.high.resize(room);
  filter_.low.resize(room);
  for (std::int64_t i = 0; i < axis.outputs(); ++i) {
    const std::int32_t* weights = axis.weights_of(axis.begin + i);
    for (std::int64_t k = 0; k < axis.stride; ++k) {
      const auto at = static_cast<std::size_t>(i * filter_.stride + k);
      filter_.high[at] = static_cast<std::int16_t>(weights[k] >> 8);
      filter_.low[at] = static_cast<std::int16_t>(weights[k] & 0xff);
    }
  }
}

void RowResizer::run(const std::uint8_t* in, std::uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(split_channels)(in, width_, plane_, planes_.data());
  HWY_DYNAMIC_DISPATCH(resize_planes)(planes_.data(), plane_, filter_, out);
}

void combine_lines(std::span<const std::uint8_t* const> lines,
                   std::span<const std::int32_t> weights, std::int64_t count, std::uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(combine_lines)(lines, weights, count, out);
}

}  // namespace fvlm
#endif
