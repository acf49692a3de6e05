// What lies behind transparent pixels. The rounding is that of Pillow's `Image.paste` with a mask.
#pragma once

#include <cstdint>

namespace fvlm::image_formats {

// (color * alpha + background * (255 - alpha)) / 255, rounded to the nearest.
inline std::uint8_t over_background(std::uint8_t color, std::uint8_t background,
                                    std::uint8_t alpha) {
  const unsigned sum = color * alpha + background * (255U - alpha) + 128U;
  return static_cast<std::uint8_t>((sum + (sum >> 8)) >> 8);
}

}  // namespace fvlm::image_formats
