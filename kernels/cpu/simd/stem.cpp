// The encoder's first convolution: 3x3, stride 2, from RGB bytes to channels, with GELU.
//
// Along an output row, a register tile of positions x two vectors of channels accumulates. The
// tile's patch of pixels is first widened to float32 with zero padding, so that in the inner loop
// each of the 27 inputs of a position is one broadcast from L1.
//
// Weights: [channels / 32][27 (y, x, rgb)][32], bias [channels / 32][32], padded with zeros.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/stem.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

inline constexpr int kTaps = 3;             // rows and columns of the filter
inline constexpr int kRowInputs = 3 * 3;    // inputs of one row of the filter
inline constexpr std::int64_t kBlock = 32;  // channels
inline constexpr int kVectors = std::min<int>(2, kBlock / kLanes);
inline constexpr int kPositions = kRegisters / 2 / kVectors;  // of a tile
inline constexpr int kPatchWidth = (2 * kPositions + 1) * 3;  // floats
static_assert(kBlock % (kVectors * kLanes) == 0);

// The pixels under the filters of the output positions from x on, of output row y.
void load_patch(FeatureMap<const std::uint8_t> pixels, std::int64_t image, std::int64_t y,
                std::int64_t x, float (&patch)[kTaps][kPatchWidth]) {
  const std::int64_t left = 2 * x - 1;
  const std::int64_t begin = std::max(left, std::int64_t{0});
  const std::int64_t end = std::min(left + kPatchWidth / 3, pixels.width);
  for (std::int64_t tap = 0; tap < kTaps; ++tap) {
    const std::int64_t row = 2 * y - 1 + tap;
    std::fill_n(patch[tap], kPatchWidth, 0.0F);
    if (row < 0 || row >= pixels.height) continue;
    const std::uint8_t* from = pixels.row(image, row) + begin * 3;
    std::copy_n(from, (end - begin) * 3, patch[tap] + (begin - left) * 3);
  }
}

// The first `positions` of the tile and the first `channels` of its channels, out of all of them.
HWY_INLINE void stem_tile(const float (&patch)[kTaps][kPatchWidth], const float* weight,
                          const float* bias, std::int64_t positions, std::int64_t channels,
                          float* out, std::int64_t out_stride) {
  V sums[kPositions][kVectors];
  unroll<kPositions>([&](auto p) FVLM_LAMBDA {
    unroll<kVectors>([&](auto v) FVLM_LAMBDA { sums[p][v] = load(bias + v * kLanes); });
  });
  for (std::int64_t tap = 0; tap < kTaps; ++tap) {
    for (std::int64_t i = 0; i < kRowInputs; ++i, weight += kBlock) {
      V w[kVectors];
      unroll<kVectors>([&](auto v) FVLM_LAMBDA { w[v] = load(weight + v * kLanes); });
      unroll<kPositions>([&](auto p) FVLM_LAMBDA {
        const V x = broadcast(patch[tap][p * 6 + i]);
        unroll<kVectors>([&](auto v) FVLM_LAMBDA { sums[p][v] = hn::MulAdd(x, w[v], sums[p][v]); });
      });
    }
  }
  // Through memory: a loop that is not unrolled may index it, which keeps the code small.
  alignas(64) float results[kPositions][kVectors * kLanes];
  unroll<kPositions>([&](auto p) FVLM_LAMBDA {
    unroll<kVectors>([&](auto v) FVLM_LAMBDA { store(sums[p][v], results[p] + v * kLanes); });
  });
  for (std::int64_t p = 0; p < positions; ++p) {
    for_each_vector(channels, [&](std::int64_t c, auto part) FVLM_LAMBDA {
      part.store(gelu(load(results[p] + c)), out + p * out_stride + c);
    });
  }
}

void stem_rows(FeatureMap<const std::uint8_t> pixels, std::int64_t image,
               const StemWeights& weights, std::int64_t first, std::int64_t rows, float* out) {
  const std::int64_t width = pixels.width / 2;
  const std::int64_t channels = weights.channels;
  float patch[kTaps][kPatchWidth];
  for (std::int64_t y = first; y < first + rows; ++y) {
    for (std::int64_t x = 0; x < width; x += kPositions) {
      load_patch(pixels, image, y, x, patch);
      const std::int64_t positions = std::min<std::int64_t>(kPositions, width - x);
      for (std::int64_t c = 0; c < channels; c += kVectors * kLanes) {
        const std::int64_t block = c / kBlock * kBlock;
        const std::int64_t lane = c % kBlock;
        stem_tile(patch, weights.weight.as<float>() + block * kTaps * kRowInputs + lane,
                  weights.bias.as<float>() + c, positions,
                  std::min(channels - c, kVectors * kLanes), out + c, channels);
      }
      out += positions * channels;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(stem_rows);

StemWeights pack_stem(const HostStem& host) {
  using HWY_NAMESPACE::kBlock;
  constexpr std::int64_t kInputs = 27;  // of a position: y, x, rgb
  StemWeights packed;
  packed.channels = static_cast<std::int64_t>(host.bias.size());
  const std::int64_t padded = (packed.channels + kBlock - 1) / kBlock * kBlock;
  packed.weight = Buffer(static_cast<std::size_t>(padded * kInputs) * sizeof(float));
  packed.bias = Buffer(static_cast<std::size_t>(padded) * sizeof(float));
  float* weight = packed.weight.as<float>();
  float* bias = packed.bias.as<float>();
  std::fill_n(weight, padded * kInputs, 0.0F);
  std::fill_n(bias, padded, 0.0F);
  std::copy(host.bias.begin(), host.bias.end(), bias);
  for (std::int64_t c = 0; c < packed.channels; ++c) {
    float* to = weight + c / kBlock * kBlock * kInputs + c % kBlock;
    for (std::int64_t i = 0; i < kInputs; ++i) {
      to[i * kBlock] = host.weight[static_cast<std::size_t>(i * packed.channels + c)];
    }
  }
  return packed;
}

void stem(FeatureMap<const std::uint8_t> pixels, std::int64_t image, const StemWeights& weights,
          std::int64_t first, std::int64_t rows, float* out) {
  HWY_DYNAMIC_DISPATCH(stem_rows)(pixels, image, weights, first, rows, out);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
