// What a camera offers, and which of it costs least.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/source/frame.hpp"
#include "capture/source/v4l2_calls.hpp"

namespace fvlm::capture {

struct CameraFormat {
  std::uint32_t code = 0;               // V4L2's four characters
  std::optional<PixelFormat> format{};  // none: not one that we read
  int width = 0;
  int height = 0;
};

// All formats at all sizes, of a `type` of stream, V4L2_BUF_TYPE_VIDEO_CAPTURE or _MPLANE; of a
// range of sizes the one that fits `width` best. Never throws: what the driver does not answer is
// left out.
std::vector<CameraFormat> list_formats(V4l2Calls& calls, int descriptor, std::uint32_t type,
                                       int width);

// The cheapest one for a picture `width` wide: the camera's own JPEG before YU12, NV12, YUYV and
// others, each at the smallest size that is not narrower; narrower ones if there is nothing else.
// Only of `only`, if that is given.
std::optional<CameraFormat> choose_format(const std::vector<CameraFormat>& offered, int width,
                                          std::optional<PixelFormat> only);

// "YUYV".
std::string code_text(std::uint32_t code);

}  // namespace fvlm::capture
