// From a picture to the square the vision encoder sees: centred on black, then resized.
#pragma once

#include <cstdint>
#include <span>

#include "fvlm/ops/resize.hpp"
#include "runtime/image.hpp"

namespace fvlm {

// Centres the picture on a black square of its longer side (offsets rounded down) and resizes that
// to [size, size, 3], written to `out`. The result equals Pillow's bicubic `resize` of such a
// square bit for bit; the square itself is never stored, so a 4000x100 picture costs no more than
// its pixels. Expects a picture at least one pixel wide and high, and size * size * 3 bytes in
// `out`, and at least one thread.
void pad_and_resize(const Image& image, std::int64_t size, int threads,
                    std::span<std::uint8_t> out);

// The same, by a backend that can.
template <class B>
void pad_and_resize(B& backend, const Image& image, std::int64_t size, int threads,
                    std::span<std::uint8_t> out) {
  if constexpr (ResizesPictures<B>) {
    backend.resize({image.rgb.data(), 1, image.height, image.width, 3},
                   ResizePlan(image.width, image.height, size), out);
  } else {
    pad_and_resize(image, size, threads, out);
  }
}

}  // namespace fvlm
