#include "capture/source/v4l2_formats.hpp"

#include <linux/videodev2.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace fvlm::capture {
namespace {

// The cheapest first.
constexpr std::array<std::pair<PixelFormat, std::uint32_t>, 6> kCodes = {{
    {PixelFormat::kMjpeg, V4L2_PIX_FMT_MJPEG},
    {PixelFormat::kYu12, V4L2_PIX_FMT_YUV420},
    {PixelFormat::kNv12, V4L2_PIX_FMT_NV12},
    {PixelFormat::kYuyv, V4L2_PIX_FMT_YUYV},
    {PixelFormat::kUyvy, V4L2_PIX_FMT_UYVY},
    {PixelFormat::kGrey, V4L2_PIX_FMT_GREY},
}};

std::optional<PixelFormat> format_of_code(std::uint32_t code) {
  if (code == V4L2_PIX_FMT_JPEG) return PixelFormat::kMjpeg;
  // The same planes, but each in memory of its own.
  if (code == V4L2_PIX_FMT_YUV420M) return PixelFormat::kYu12;
  if (code == V4L2_PIX_FMT_NV12M) return PixelFormat::kNv12;
  for (const auto& [format, known] : kCodes) {
    if (known == code) return format;
  }
  return std::nullopt;
}

int cost(PixelFormat format) {
  const auto* const found = std::find_if(kCodes.begin(), kCodes.end(),
                                         [&](const auto& known) { return known.first == format; });
  return static_cast<int>(found - kCodes.begin());
}

// The smallest of a range that is not under `wanted`.
int fit(std::uint32_t low, std::uint32_t high, std::uint32_t step, int wanted) {
  const auto target = static_cast<std::uint32_t>(std::max(wanted, 1));
  if (target <= low) return static_cast<int>(low);
  const std::uint32_t by = std::max(step, 1U);
  const std::uint32_t up = low + (target - low + by - 1) / by * by;
  return static_cast<int>(up > high ? high : up);
}

void list_sizes(V4l2Calls& calls, int descriptor, std::uint32_t code, int width,
                std::vector<CameraFormat>& to) {
  v4l2_frmsizeenum size{};
  size.pixel_format = code;
  for (; calls.ioctl(descriptor, VIDIOC_ENUM_FRAMESIZES, &size) == 0; ++size.index) {
    if (size.type == V4L2_FRMSIZE_TYPE_DISCRETE) {
      to.push_back({code, format_of_code(code), static_cast<int>(size.discrete.width),
                    static_cast<int>(size.discrete.height)});
      continue;
    }
    const v4l2_frmsize_stepwise& range = size.stepwise;
    const int w = fit(range.min_width, range.max_width, range.step_width, width);
    const int h = fit(range.min_height, range.max_height, range.step_height, w * 3 / 4);
    to.push_back({code, format_of_code(code), w, h});
    return;
  }
  // Old drivers list no sizes: they take what they like of a wish.
  if (size.index == 0) to.push_back({code, format_of_code(code), width, width * 3 / 4});
}

}  // namespace

std::vector<CameraFormat> list_formats(V4l2Calls& calls, int descriptor, std::uint32_t type,
                                       int width) {
  std::vector<CameraFormat> found;
  v4l2_fmtdesc description{};
  description.type = type;
  for (; calls.ioctl(descriptor, VIDIOC_ENUM_FMT, &description) == 0; ++description.index) {
    list_sizes(calls, descriptor, description.pixelformat, width, found);
  }
  return found;
}

std::optional<CameraFormat> choose_format(const std::vector<CameraFormat>& offered, int width,
                                          std::optional<PixelFormat> only) {
  // Wide enough, cheap, small; of the same width the highest, which shows all the sensor sees.
  const auto rank = [width](const CameraFormat& one) {
    const bool narrow = one.width < width;
    return std::tuple(narrow, narrow ? -one.width : 0, cost(*one.format), one.width, -one.height);
  };
  std::optional<CameraFormat> best;
  for (const CameraFormat& one : offered) {
    if (!one.format || (only && *only != *one.format)) continue;
    if (!best || rank(one) < rank(*best)) best = one;
  }
  return best;
}

std::string code_text(std::uint32_t code) {
  std::string text;
  for (int shift = 0; shift < 32; shift += 8)
    text.push_back(static_cast<char>(code >> shift & 127));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace fvlm::capture
