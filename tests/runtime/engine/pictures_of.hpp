// Pixels as backends take them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fvlm/ops/pixels.hpp"

namespace fvlm {

// pixels [count, side, side, 3] as pictures of their own.
inline std::vector<Pixels> pictures_of(const std::vector<std::uint8_t>& pixels,
                                       std::int64_t count) {
  const std::size_t each = pixels.size() / static_cast<std::size_t>(count);
  std::vector<Pixels> pictures;
  for (std::size_t at = 0; at + each <= pixels.size(); at += each) {
    std::copy_n(pixels.begin() + static_cast<std::ptrdiff_t>(at), each,
                pictures.emplace_back(make_pixels(each)).get());
  }
  return pictures;
}

}  // namespace fvlm
