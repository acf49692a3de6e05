// Small things that tests of sources share.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "capture/source/pattern_source.hpp"

namespace fvlm::capture {

// Whether it becomes true within some seconds.
inline bool wait_for(const std::function<bool()>& true_yet) {
  for (int i = 0; i < 3000; ++i) {
    if (true_yet()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// A JPEG of a picture that wide.
inline std::string pattern_jpeg(int width) {
  PatternSource source(PixelFormat::kMjpeg, width, 1000);
  const Frame frame = *source.next(std::chrono::milliseconds(100));
  return {reinterpret_cast<const char*>(frame.bytes.data), frame.bytes.size};
}

}  // namespace fvlm::capture
