// All uncompressed formats are three planes of samples that differ in where they begin and how far
// apart their samples are, and so are one thing to the encoder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "capture/source/frame.hpp"

namespace fvlm::capture {

// Sample (x, y) is data[y * stride + x * step]; both may lead backwards.
struct Plane {
  const std::uint8_t* data = nullptr;
  std::ptrdiff_t stride = 0;
  std::ptrdiff_t step = 0;
  int width = 0;
  int height = 0;
};

// Of the first plane, in its samples.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

struct Planes {
  int count = 0;  // 3: Y, U, V; 1: Y
  std::array<Plane, 3> of{};
  int chroma_x = 1;  // pixels of a chroma sample, across and down
  int chroma_y = 1;
  // To be seen as black, whatever the samples are. Whole samples of all planes.
  std::vector<Box> black{};
};

// The planes of a frame; none if it is MJPEG.
std::optional<Planes> planes_of(const Frame& frame);

// Bytes that a frame of this format and size has.
std::size_t frame_bytes(PixelFormat format, std::size_t stride, int height);

// Row `y` of the plane made smaller by `factor`: means of factor x factor samples. `width` samples
// go to `to`.
void copy_row(const Plane& plane, int factor, int y, int width, std::uint8_t* to);

}  // namespace fvlm::capture
