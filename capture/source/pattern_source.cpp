#include "capture/source/pattern_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "capture/source/jpeg_codec.hpp"
#include "capture/source/planes.hpp"

namespace fvlm::capture {
namespace {

constexpr int kDrawn = 30;
constexpr int kQuality = 85;  // of MJPEG

// Luma and chroma of white, yellow, cyan, green, magenta, red, blue and black.
using Color = std::array<std::uint8_t, 3>;
constexpr std::array<Color, 8> kBars = {{{255, 128, 128},
                                         {226, 1, 149},
                                         {179, 171, 1},
                                         {150, 44, 21},
                                         {105, 212, 235},
                                         {76, 85, 255},
                                         {29, 255, 107},
                                         {0, 128, 128}}};

struct Canvas {
  int width;
  int height;
  int step;  // which of the drawn pictures

  Color at(int x, int y) const {
    const int side = height / 6;
    const int left = (width - side) * step / kDrawn;
    const bool block = x >= left && x < left + side && y >= 2 * side && y < 3 * side;
    if (block) return kBars[0];
    Color color = kBars[static_cast<std::size_t>(x * 8 / width)];
    color[0] = static_cast<std::uint8_t>(color[0] * (height / 2 + y / 2) / height);
    return color;
  }
};

// Bytes from line to line.
std::size_t stride_of(PixelFormat format, int width) {
  const bool packed = format == PixelFormat::kYuyv || format == PixelFormat::kUyvy;
  return static_cast<std::size_t>(packed ? 2 * width : width);
}

// planes_of() says where samples are read; they are written to the same places.
std::vector<std::uint8_t> draw(PixelFormat format, const Canvas& canvas) {
  const std::size_t stride = stride_of(format, canvas.width);
  std::vector<std::uint8_t> bytes(frame_bytes(format, stride, canvas.height));
  const Frame frame{format, canvas.width, canvas.height, stride, {bytes.data(), bytes.size()}};
  const Planes planes = *planes_of(frame);
  for (std::size_t c = 0; c < static_cast<std::size_t>(planes.count); ++c) {
    const Plane& plane = planes.of[c];
    std::uint8_t* const to = bytes.data() + (plane.data - bytes.data());
    const int across = c == 0 ? 1 : planes.chroma_x;
    const int down = c == 0 ? 1 : planes.chroma_y;
    for (int y = 0; y < plane.height; ++y) {
      for (int x = 0; x < plane.width; ++x) {
        to[y * plane.stride + x * plane.step] = canvas.at(x * across, y * down)[c];
      }
    }
  }
  return bytes;
}

std::vector<std::uint8_t> draw_jpeg(JpegCodec& codec, const Canvas& canvas) {
  const auto bytes = draw(PixelFormat::kYu12, canvas);
  const auto stride = static_cast<std::size_t>(canvas.width);
  const Frame frame{
      PixelFormat::kYu12, canvas.width, canvas.height, stride, {bytes.data(), bytes.size()}};
  std::uint64_t copied = 0;
  return codec.compress(*planes_of(frame), 1, kQuality, copied).bytes;
}

}  // namespace

PatternSource::PatternSource(PixelFormat format, int width, double rate)
    : format_(format),
      width_(std::max(width / 16, 1) * 16),
      height_(width_ * 3 / 4),
      pace_(rate),
      drawn_(kDrawn) {}

std::optional<Frame> PatternSource::next(std::chrono::milliseconds patience) {
  if (!pace_.wait(patience)) return std::nullopt;
  const std::uint64_t step = shown_++ % kDrawn;
  auto& bytes = drawn_[step];
  if (bytes == nullptr) {
    const Canvas canvas{width_, height_, static_cast<int>(step)};
    bytes = std::make_shared<const std::vector<std::uint8_t>>(
        format_ == PixelFormat::kMjpeg ? draw_jpeg(codec_, canvas) : draw(format_, canvas));
  }
  return Frame{format_,
               width_,
               height_,
               stride_of(format_, width_),
               {bytes->data(), bytes->size()},
               {},
               {},
               shown_,
               Clock::now(),
               bytes};
}

std::string PatternSource::description() const {
  return fmt::format("test pattern, {} {}x{}", name_of(format_), width_, height_);
}

}  // namespace fvlm::capture
