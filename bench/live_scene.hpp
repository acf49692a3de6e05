// Frames of a camera that moves slowly over pictures of which one fades into the next: what live
// views are tested and measured with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "fvlm/image.hpp"

namespace fvlm {

// Frame number `frame`: of each picture there are 40 frames, through a window of 7/8 of its size
// that goes to and fro by a pixel each, and 10 more in which it fades into the next.
inline Image live_frame(std::span<const Image> pictures, std::int64_t frame) {
  constexpr std::int64_t kStill = 40;
  constexpr std::int64_t kFading = 10;
  const std::int64_t scene = frame / (kStill + kFading);
  const std::int64_t fade = std::max<std::int64_t>(frame % (kStill + kFading) - kStill, 0);
  const auto picture = [&](std::int64_t i) -> const Image& {
    return pictures[static_cast<std::size_t>(i) % pictures.size()];
  };
  const Image& one = picture(scene);
  const Image& other = picture(scene + 1);
  const auto to_and_fro = [](std::int64_t t, std::int64_t room) {
    return room == 0 ? 0 : room - std::abs(t % (2 * room) - room);
  };
  Image window{one.width * 7 / 8, one.height * 7 / 8, {}};
  const std::int64_t left = to_and_fro(frame, one.width - window.width);
  const std::int64_t top = to_and_fro(frame / 2, one.height - window.height);
  window.rgb.reserve(static_cast<std::size_t>(window.width * window.height * 3));
  for (std::int64_t y = top; y < top + window.height; ++y) {
    for (std::int64_t x = left; x < left + window.width; ++x) {
      const auto* a = &one.rgb[static_cast<std::size_t>(3 * (y * one.width + x))];
      const std::int64_t there =
          y * other.height / one.height * other.width + x * other.width / one.width;
      const auto* b = &other.rgb[static_cast<std::size_t>(3 * there)];
      for (int c = 0; c < 3; ++c) {
        window.rgb.push_back(
            static_cast<std::uint8_t>((a[c] * (kFading - fade) + b[c] * fade) / kFading));
      }
    }
  }
  return window;
}

}  // namespace fvlm
