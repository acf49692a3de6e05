// Pictures on their way to the encoder, in memory that a backend takes them from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace fvlm {

// Of one picture, [side, side, 3]. Shared by all who need them, so that a backend may take them at
// its own time.
using Pixels = std::shared_ptr<std::uint8_t[]>;

// In the host's ordinary memory. Not initialised.
inline Pixels make_pixels(std::size_t bytes) {
  return Pixels(new std::uint8_t[bytes]);
}

}  // namespace fvlm
