// From a picture to the square the vision encoder sees: centred on black, then resized.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/image.hpp"

namespace fvlm {

// Centres the picture on a black square of its longer side (offsets rounded down) and resizes that
// to [size, size, 3], written to `out`. The result equals Pillow's bicubic `resize` of such a
// square bit for bit; the square itself is never stored, so a 4000x100 picture costs no more than
// its pixels. Expects a picture at least one pixel wide and high, and size * size * 3 bytes in
// `out`, and at least one thread.
void pad_and_resize(const Image& image, std::int64_t size, int threads,
                    std::span<std::uint8_t> out);

}  // namespace fvlm
