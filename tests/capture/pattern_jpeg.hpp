#pragma once

#include <chrono>
#include <string>

#include "capture/source/pattern_source.hpp"

namespace fvlm::capture {

// A JPEG of a picture that wide.
inline std::string pattern_jpeg(int width) {
  PatternSource source(PixelFormat::kMjpeg, width, 1000);
  const Frame frame = *source.next(std::chrono::milliseconds(100));
  return {reinterpret_cast<const char*>(frame.bytes.data), frame.bytes.size};
}

}  // namespace fvlm::capture
