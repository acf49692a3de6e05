// The CUDA backend's resizing of pictures: memory for it, and what is brought there and back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "kernels/cuda/cuda.hpp"
#include "kernels/cuda/resize.hpp"

namespace fvlm {

// Everything that the kernels read goes to the device in one copy: tables, then the picture.
template <Target target, class E>
void CudaBackend<target, E>::resize(FeatureMap<const std::uint8_t> picture, const ResizePlan& plan,
                                    std::span<std::uint8_t> out) {
  const auto size = static_cast<std::int64_t>(plan.vertical.taps.size());
  constexpr std::size_t kAlign = 16;
  std::size_t used = 0;
  const auto take = [&used](std::size_t bytes) {
    return std::exchange(used, used + (bytes + kAlign - 1) / kAlign * kAlign);
  };
  struct Place {
    std::size_t taps, weights;
  };
  const auto place = [&](const ResizeAxis& axis) {
    const auto outputs = static_cast<std::size_t>(axis.end - axis.begin);
    const std::size_t taps = take(outputs * sizeof(Taps));
    return Place{taps,
                 take(outputs * static_cast<std::size_t>(axis.stride) * sizeof(std::int32_t))};
  };
  const Place across = place(plan.horizontal);
  const Place down = place(plan.vertical);
  const std::size_t pixels = take(static_cast<std::size_t>(picture.elements()));
  const std::size_t brought = used;
  const std::int64_t outputs = plan.horizontal.end - plan.horizontal.begin;
  const std::size_t rows = take(static_cast<std::size_t>(picture.height * outputs * 3));
  const std::size_t result = take(out.size());
  if (resizing_.bytes() < used) {
    stream_->synchronize();
    resizing_ = DeviceBuffer<target>(used);
  }

  std::byte* const room = picture_->room(brought);
  auto* const there = resizing_.template as<std::byte>();
  const auto bring = [&](const ResizeAxis& axis, const Place& at) {
    const auto count = axis.end - axis.begin;
    std::copy_n(axis.taps.data() + axis.begin, count, reinterpret_cast<Taps*>(room + at.taps));
    std::copy_n(axis.weights_of(axis.begin), count * axis.stride,
                reinterpret_cast<std::int32_t*>(room + at.weights));
    return DeviceAxis{reinterpret_cast<const Taps*>(there + at.taps),
                      reinterpret_cast<const std::int32_t*>(there + at.weights), axis.stride,
                      axis.begin, axis.end};
  };
  const DeviceAxis horizontal = bring(plan.horizontal, across);
  const DeviceAxis vertical = bring(plan.vertical, down);
  std::memcpy(room + pixels, picture.data, static_cast<std::size_t>(picture.elements()));
  picture_->send(*stream_, there, brought);
  const auto bytes = [there](std::size_t at) {
    return reinterpret_cast<std::uint8_t*>(there + at);
  };
  ResizeKernels<target>::resize(*stream_, {bytes(pixels), 1, picture.height, picture.width, 3},
                                horizontal, vertical, bytes(rows),
                                {bytes(result), 1, size, size, 3});
  if (fetched_.bytes() < out.size()) fetched_ = PinnedBuffer<target>(out.size());
  stream_->copy_to_host(fetched_.template as<std::uint8_t>(), bytes(result), out.size());
  stream_->synchronize();
  std::memcpy(out.data(), fetched_.template as<std::uint8_t>(), out.size());
}

}  // namespace fvlm
