// Depthwise convolution, 3x3 or 7x7, stride 1 or 2, one or two filters a channel.
//
// One vector of channels at a time; a tile of positions along an output row is kept in registers.
// For each row of the filter its weights are in registers too, and each input that is loaded is
// used for every output of the tile it contributes to, up to `kernel` times. The loop order is
// output row, tile, vector of channels: memory is read along whole rows, and the rows under a
// filter stay in L2.
//
// Weights are packed in blocks of 16 channels, [channels / 16][kernel * kernel][multiplier][16], so
// that a vector of any width finds all of its taps on adjacent cache lines. Bias: [channels /
// 16][multiplier][16]. Channels are padded with zeros.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/depthwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cassert>

#include "kernels/cpu/simd/math-inl.hpp"
#include "kernels/support/make_error.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

inline constexpr std::int64_t kBlock = 16;  // channels

// What one tile reads and writes; pointers are to the vector's first channel.
template <class Out>
struct DepthwiseTile {
  std::int64_t width;     // of the input
  std::int64_t channels;  // of the input
  std::int64_t rows;      // rows of the filter that fall on the image
  const float* in;        // column 0 of the input row under the first of them
  const float* weight;    // of the first of them
  const float* bias;
  Activation activation;
  std::int64_t column;   // under the first column of the first output's filter; may be negative
  std::int64_t outputs;  // positions left on the output row; the tile may be wider
  Out* out;              // of the first output
};

template <int kKernel, int kStride, int kMultiplier, int kOutputs, class Out, class Part>
HWY_INLINE void depthwise_tile(const DepthwiseTile<Out>& tile, Part part) {
  V sums[kOutputs][kMultiplier];
  unroll<kOutputs>([&](auto o) FVLM_LAMBDA {
    unroll<kMultiplier>([&](auto m) FVLM_LAMBDA { sums[o][m] = load(tile.bias + m * kBlock); });
  });
  const float* weight = tile.weight;
  const float* row = tile.in;
  for (std::int64_t y = 0; y < tile.rows; ++y) {
    V taps[kKernel][kMultiplier];
    unroll<kKernel * kMultiplier>([&](auto i) FVLM_LAMBDA {
      taps[i / kMultiplier][i % kMultiplier] = load(weight + i * kBlock);
    });
    unroll<(kOutputs - 1) * kStride + kKernel>([&](auto i) FVLM_LAMBDA {
      const std::int64_t column = tile.column + i;
      if (column < 0 || column >= tile.width) return;  // padding
      const V x = part.load(row + column * tile.channels);
      unroll<kOutputs>([&](auto o) FVLM_LAMBDA {
        constexpr int kTap = i - o * kStride;
        if constexpr (kTap >= 0 && kTap < kKernel) {
          unroll<kMultiplier>(
              [&](auto m) FVLM_LAMBDA { sums[o][m] = hn::MulAdd(x, taps[kTap][m], sums[o][m]); });
        }
      });
    });
    weight += kKernel * kMultiplier * kBlock;
    row += tile.width * tile.channels;
  }
  // Through memory: a loop that is not unrolled may index it, which keeps the code small.
  alignas(64) float results[kOutputs][kMultiplier][kLanes];
  unroll<kOutputs>([&](auto o) FVLM_LAMBDA {
    unroll<kMultiplier>([&](auto m) FVLM_LAMBDA { store(sums[o][m], results[o][m]); });
  });
  const std::int64_t outputs = std::min<std::int64_t>(kOutputs, tile.outputs);
  for (std::int64_t o = 0; o < outputs; ++o) {
    Out* out = tile.out + o * tile.channels * kMultiplier;
    const auto result = [&](std::int64_t m) FVLM_LAMBDA {
      const V sum = load(results[o][m]);
      return tile.activation == Activation::kGelu ? gelu(sum) : sum;
    };
    if constexpr (kMultiplier == 1) {
      part.store(result(0), out);
    } else {  // the two filters of a channel are neighbours
      float both[2 * kLanes];
      hn::StoreInterleaved2(result(0), result(1), D(), both);
      std::copy_n(both, 2 * part.count(), out);
    }
  }
}

template <int kKernel, int kStride, int kMultiplier, class Out>
void depthwise_rows(FeatureMap<const float> in, std::int64_t image, const DepthwiseWeights& weights,
                    Activation activation, std::int64_t first, std::int64_t rows, Out* out) {
  // Half of the registers accumulate: enough to hide an FMA's latency, and room for the taps.
  constexpr int kOutputs = kRegisters / 2 / kMultiplier;
  constexpr std::int64_t kPadding = kKernel / 2;
  const std::int64_t out_width = in.width / kStride;
  const std::int64_t out_channels = in.channels * kMultiplier;
  for (std::int64_t y = first; y < first + rows; ++y, out += out_width * out_channels) {
    const std::int64_t top = y * kStride - kPadding;
    const std::int64_t row_begin = std::max(top, std::int64_t{0});
    const std::int64_t row_end = std::min(top + kKernel, in.height);
    const std::int64_t skipped = (row_begin - top) * kKernel * kMultiplier * kBlock;
    const float* weight = weights.weight.as<float>() + skipped;
    const float* bias = weights.bias.as<float>();
    for (std::int64_t x = 0; x < out_width; x += kOutputs) {
      for_each_vector(in.channels, [&](std::int64_t c, auto part) FVLM_LAMBDA {
        const std::int64_t block = c / kBlock * kMultiplier * kBlock;
        const std::int64_t lane = c % kBlock;
        const DepthwiseTile<Out> tile = {
            .width = in.width,
            .channels = in.channels,
            .rows = row_end - row_begin,
            .in = in.row(image, row_begin) + c,
            .weight = weight + block * kKernel * kKernel + lane,
            .bias = bias + block + lane,
            .activation = activation,
            .column = x * kStride - kPadding,
            .outputs = out_width - x,
            .out = out + x * out_channels + c * kMultiplier,
        };
        depthwise_tile<kKernel, kStride, kMultiplier, kOutputs>(tile, part);
      });
    }
  }
}

void depthwise_of(FeatureMap<const float> in, std::int64_t image, const DepthwiseWeights& weights,
                  Activation activation, std::int64_t first, std::int64_t rows, float* out) {
  const DepthwiseSpec& spec = weights.spec;
  unroll<8>([&](auto i) FVLM_LAMBDA {
    constexpr int kKernel = i & 1 ? 7 : 3;
    constexpr int kStride = i & 2 ? 2 : 1;
    constexpr int kMultiplier = i & 4 ? 2 : 1;
    if (spec.kernel == kKernel && spec.stride == kStride && spec.multiplier == kMultiplier) {
      depthwise_rows<kKernel, kStride, kMultiplier>(in, image, weights, activation, first, rows,
                                                    out);
    }
  });
}

void depthwise_to_bfloat16(FeatureMap<const float> in, std::int64_t image,
                           const DepthwiseWeights& weights, Activation activation,
                           std::int64_t first, std::int64_t rows, BFloat16* out) {
  depthwise_rows<7, 1, 1>(in, image, weights, activation, first, rows, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(depthwise_of);
HWY_EXPORT(depthwise_to_bfloat16);

DepthwiseWeights pack_depthwise(const DepthwiseSpec& spec, const HostDepthwise& host) {
  if ((spec.kernel != 3 && spec.kernel != 7) || spec.stride < 1 || spec.stride > 2 ||
      spec.multiplier < 1 || spec.multiplier > 2) {
    throw make_error(
        "depthwise convolution {}: kernel {}, stride {}, {} filters a channel; supported "
        "are kernels 3 and 7, strides 1 and 2, and 1 or 2 filters",
        spec.convolution, spec.kernel, spec.stride, spec.multiplier);
  }
  using HWY_NAMESPACE::kBlock;
  const std::int64_t taps = spec.kernel * spec.kernel;
  const std::int64_t padded = (spec.in + kBlock - 1) / kBlock * kBlock * spec.multiplier;
  DepthwiseWeights packed;
  packed.spec = spec;
  packed.weight = Buffer(static_cast<std::size_t>(padded * taps) * sizeof(float));
  packed.bias = Buffer(static_cast<std::size_t>(padded) * sizeof(float));
  float* weight = packed.weight.as<float>();
  float* bias = packed.bias.as<float>();
  std::fill_n(weight, padded * taps, 0.0F);
  std::fill_n(bias, padded, 0.0F);
  for (std::int64_t o = 0; o < spec.out(); ++o) {
    const std::int64_t channel = o / spec.multiplier;
    const std::int64_t block = channel / kBlock;
    const std::int64_t at = o % spec.multiplier * kBlock + channel % kBlock;  // within a tap
    const std::int64_t tap_size = spec.multiplier * kBlock;
    bias[block * tap_size + at] = host.bias[static_cast<std::size_t>(o)];
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      weight[(block * taps + tap) * tap_size + at] =
          host.weight[static_cast<std::size_t>(tap * spec.out() + o)];
    }
  }
  return packed;
}

void depthwise(FeatureMap<const float> in, std::int64_t image, const DepthwiseWeights& weights,
               Activation activation, std::int64_t first, std::int64_t rows, float* out) {
  HWY_DYNAMIC_DISPATCH(depthwise_of)(in, image, weights, activation, first, rows, out);
}

void depthwise(FeatureMap<const float> in, std::int64_t image, const DepthwiseWeights& weights,
               Activation activation, std::int64_t first, std::int64_t rows, BFloat16* out) {
  assert(weights.spec.kernel == 7 && weights.spec.stride == 1 && weights.spec.multiplier == 1);
  HWY_DYNAMIC_DISPATCH(depthwise_to_bfloat16)(in, image, weights, activation, first, rows, out);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
