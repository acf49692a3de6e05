// What lies behind transparent pixels. The rounding is that of Pillow's `Image.paste` with a mask.
#pragma once

#include <array>
#include <cstdint>

namespace fvlm::image_formats {

// (color * alpha + background * (255 - alpha)) / 255, rounded to the nearest.
inline std::uint8_t over_background(std::uint8_t color, std::uint8_t background,
                                    std::uint8_t alpha) {
  const unsigned sum = color * alpha + background * (255U - alpha) + 128U;
  return static_cast<std::uint8_t>((sum + (sum >> 8)) >> 8);
}

// A row of pixels: rgba [width, 4] -> rgb [width, 3].
inline void show_background(const std::uint8_t* rgba, std::int64_t width,
                            const std::array<std::uint8_t, 3>& background, std::uint8_t* rgb) {
  for (std::int64_t x = 0; x < width; ++x, rgba += 4, rgb += 3) {
    for (std::size_t c = 0; c < 3; ++c) rgb[c] = over_background(rgba[c], background[c], rgba[3]);
  }
}

}  // namespace fvlm::image_formats
