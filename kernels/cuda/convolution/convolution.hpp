// Convolutions of the encoder, for host code: depthwise ones, the stem, which ends in one, and
// squeeze-and-excite, which follows one. Contracts are those of Backend.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "fvlm/ops/epilogue.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// Filters as a kernel reads them.
struct DepthwiseFilters {
  const float* weight = nullptr;  // [kernel * kernel, out]
  const float* bias = nullptr;    // [out]
  std::int64_t kernel = 0;
  std::int64_t stride = 0;
  std::int64_t multiplier = 0;
};

struct StemFilters {
  const float* weight = nullptr;  // [3 * 3 * 3 (y, x, rgb), out]
  const float* bias = nullptr;    // [out]
};

template <Target target, class E>
struct DepthwiseKernels {
  // Whether there is a kernel for these sizes; the multiplier is 1 or 2.
  static bool supports(std::int64_t kernel, std::int64_t stride, std::int64_t multiplier);

  // As Backend::depthwise.
  static void depthwise(Stream<target>& stream, FeatureMap<const E> in,
                        const DepthwiseFilters& filters, Activation activation, FeatureMap<E> out);
};

template <Target target, class E>
struct StemKernels {
  // As Backend::stem; the second convolution is 3 x 3 with stride 2 and multiplier 1.
  static void stem(Stream<target>& stream, FeatureMap<const std::uint8_t> pixels,
                   const StemFilters& conv, const DepthwiseFilters& filters, FeatureMap<E> out);
};

template <Target target, class E>
struct SqueezeExciteKernels {
  // mean [batch, channels] and squeezed [batch, reduce.weight.rows] are scratch.
  static void squeeze_excite(Stream<target>& stream, FeatureMap<const E> in, const Layer<E>& reduce,
                             const Layer<E>& expand, View<float> mean, View<float> squeezed,
                             FeatureMap<E> out);
};

}  // namespace fvlm
