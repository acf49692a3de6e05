// Preprocessed images for the encoder, in memory that a backend can copy from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace fvlm {

// Of one image, [side, side, 3]. Shared by all who need them, so that a backend may copy them
// asynchronously.
using Pixels = std::shared_ptr<std::uint8_t[]>;

// In pageable host memory. Not initialised.
inline Pixels make_pixels(std::size_t bytes) {
  return Pixels(new std::uint8_t[bytes]);
}

}  // namespace fvlm
