// Resizes a picture on the device, by the filters of ops/resize.hpp.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "fvlm/ops/resize.hpp"
#include "kernels/cuda/stream.hpp"

namespace fvlm {

// A ResizeAxis on the device: the outputs in [begin, end), and no others.
struct DeviceAxis {
  const Taps* taps;             // [end - begin]
  const std::int32_t* weights;  // [end - begin, stride]
  std::int64_t stride;
  std::int64_t begin;
  std::int64_t end;

  constexpr std::int64_t outputs() const { return end - begin; }
};

template <Target target>
struct ResizeKernels {
  // picture [1, height, width, 3] -> out [1, size, size, 3]; rows [height, horizontal.outputs(), 3]
  // is scratch.
  static void resize(Stream<target>& stream, FeatureMap<const std::uint8_t> picture,
                     const DeviceAxis& horizontal, const DeviceAxis& vertical, std::uint8_t* rows,
                     FeatureMap<std::uint8_t> out);
};

}  // namespace fvlm
