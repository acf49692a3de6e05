// A frame as a source delivers it, without a copy: in a mapped buffer of the camera, or in a file's
// bytes. A Frame holds a reference to that memory, which returns to the source when the last
// reference is gone, so frames are kept no longer than needed.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace fvlm::capture {

using Clock = std::chrono::steady_clock;

// Borrowed memory.
struct Bytes {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

enum class PixelFormat {
  kMjpeg,  // one JPEG
  kYu12,   // planes Y, U, V; a chroma sample for 2x2 pixels
  kNv12,   // plane Y, then U and V interleaved; 2x2
  kYuyv,   // Y U Y V ...; a chroma sample for 2x1 pixels
  kUyvy,   // U Y V Y ...
  kGrey,   // Y alone
};

struct Frame {
  PixelFormat format = PixelFormat::kMjpeg;
  int width = 0;
  int height = 0;
  std::size_t stride = 0;  // bytes from a line to the next, of the first plane; not for MJPEG
  Bytes bytes{};
  // Planes of colour in memory of their own (multi-planar V4L2); empty: they follow in `bytes`.
  std::array<Bytes, 2> more{};
  std::array<std::size_t, 2> more_strides{};
  std::uint64_t number = 0;  // counts what the source captured, also what it lost
  Clock::time_point taken{};
  std::shared_ptr<const void> hold{};  // keeps `bytes` there
};

}  // namespace fvlm::capture
