// A moving picture without a camera, in any format: colour bars, and a white block that wanders
// over them. It comes back after a second, so each picture is drawn once, and then costs nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/source/jpeg_codec.hpp"
#include "capture/source/pace.hpp"
#include "capture/source/source.hpp"

namespace fvlm::capture {

class PatternSource final : public FrameSource {
 public:
  // `width` is rounded to a multiple of 16; the height is three quarters of it.
  PatternSource(PixelFormat format, int width, double rate);

  std::optional<Frame> next(std::chrono::milliseconds patience) override;
  std::string description() const override;

 private:
  PixelFormat format_;
  int width_;
  int height_;
  Pace pace_;
  JpegCodec codec_{};
  std::vector<std::shared_ptr<const std::vector<std::uint8_t>>> drawn_{};
  std::uint64_t shown_ = 0;
};

}  // namespace fvlm::capture
