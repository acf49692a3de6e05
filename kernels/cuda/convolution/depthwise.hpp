// Depthwise convolutions, and the encoder's stem, which ends in one.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "fvlm/ops/epilogue.hpp"
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

template <Target target>
struct DepthwiseKernels {
  // Whether there is a kernel for these sizes; the multiplier is 1 or 2.
  static bool supports(std::int64_t kernel, std::int64_t stride, std::int64_t multiplier);

  // As Backend::depthwise.
  template <class E>
  static void depthwise(Stream<target>& stream, FeatureMap<const E> in,
                        const DepthwiseFilters& filters, Activation activation, FeatureMap<E> out);
};

template <Target target>
struct StemKernels {
  // As Backend::stem; the second convolution is 3 x 3 with stride 2 and multiplier 1.
  template <class E>
  static void stem(Stream<target>& stream, FeatureMap<const std::uint8_t> pixels,
                   const StemFilters& conv, const DepthwiseFilters& filters, FeatureMap<E> out);
};

}  // namespace fvlm
