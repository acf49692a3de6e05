#include "capture/source/planes.hpp"

#include <cstring>

namespace fvlm::capture {
namespace {

// A compile-time step, so that the loop becomes vector code.
template <std::ptrdiff_t kStep>
void gather(const std::uint8_t* from, int width, std::uint8_t* to) {
  for (int x = 0; x < width; ++x) to[x] = from[x * kStep];
}

void copy_means(const Plane& plane, int factor, int y, int width, std::uint8_t* to) {
  const std::ptrdiff_t side = factor;
  const std::uint8_t* const rows = plane.data + y * side * plane.stride;
  const auto area = static_cast<std::uint32_t>(factor * factor);
  for (int x = 0; x < width; ++x) {
    const std::uint8_t* const corner = rows + x * side * plane.step;
    std::uint32_t sum = area / 2;
    for (std::ptrdiff_t dy = 0; dy < side; ++dy) {
      for (std::ptrdiff_t dx = 0; dx < side; ++dx)
        sum += corner[dy * plane.stride + dx * plane.step];
    }
    to[x] = static_cast<std::uint8_t>(sum / area);
  }
}

Planes packed(const Frame& frame, std::size_t y, std::size_t u, std::size_t v) {
  const std::uint8_t* const data = frame.bytes.data;
  const int half = frame.width / 2;
  const auto stride = static_cast<std::ptrdiff_t>(frame.stride);
  return {3,
          {{{data + y, stride, 2, frame.width, frame.height},
            {data + u, stride, 4, half, frame.height},
            {data + v, stride, 4, half, frame.height}}},
          2,
          1,
          {}};
}

// Y, and behind it the chroma: `step` 1 for separate planes, 2 for interleaved samples.
Planes planar(const Frame& frame, std::ptrdiff_t step) {
  const int width = frame.width / 2;
  const int height = frame.height / 2;
  const std::uint8_t* const luma = frame.bytes.data;
  const auto luma_stride = static_cast<std::ptrdiff_t>(frame.stride);
  const std::uint8_t* const u = luma + luma_stride * frame.height;
  const std::ptrdiff_t stride = luma_stride * step / 2;
  const std::uint8_t* const v = step == 2 ? u + 1 : u + stride * height;
  if (frame.more[0].data != nullptr) {
    const std::size_t last = step == 2 ? 0 : 1;  // the memory with V
    return {3,
            {{{luma, luma_stride, 1, frame.width, frame.height},
              {frame.more[0].data, static_cast<std::ptrdiff_t>(frame.more_strides[0]), step, width,
               height},
              {frame.more[last].data + (step == 2 ? 1 : 0),
               static_cast<std::ptrdiff_t>(frame.more_strides[last]), step, width, height}}},
            2,
            2,
            {}};
  }
  return {3,
          {{{luma, luma_stride, 1, frame.width, frame.height},
            {u, stride, step, width, height},
            {v, stride, step, width, height}}},
          2,
          2,
          {}};
}

}  // namespace

std::optional<Planes> planes_of(const Frame& frame) {
  switch (frame.format) {
    case PixelFormat::kMjpeg:
      return std::nullopt;
    case PixelFormat::kYu12:
      return planar(frame, 1);
    case PixelFormat::kNv12:
      return planar(frame, 2);
    case PixelFormat::kYuyv:
      return packed(frame, 0, 1, 3);
    case PixelFormat::kUyvy:
      return packed(frame, 1, 0, 2);
    case PixelFormat::kGrey:
      return Planes{1,
                    {{{frame.bytes.data, static_cast<std::ptrdiff_t>(frame.stride), 1, frame.width,
                       frame.height}}},
                    1,
                    1,
                    {}};
  }
  return std::nullopt;
}

std::size_t frame_bytes(PixelFormat format, std::size_t stride, int height) {
  const std::size_t lines = stride * static_cast<std::size_t>(height);
  switch (format) {
    case PixelFormat::kMjpeg:
      return 0;
    case PixelFormat::kYu12:
    case PixelFormat::kNv12:
      return lines + lines / 2;
    case PixelFormat::kYuyv:
    case PixelFormat::kUyvy:
    case PixelFormat::kGrey:
      return lines;
  }
  return 0;
}

void copy_row(const Plane& plane, int factor, int y, int width, std::uint8_t* to) {
  if (factor > 1) {
    copy_means(plane, factor, y, width, to);
    return;
  }
  const std::uint8_t* const row = plane.data + y * plane.stride;
  switch (plane.step) {
    case 1:
      std::memcpy(to, row, static_cast<std::size_t>(width));
      break;
    case 2:
      gather<2>(row, width, to);
      break;
    case 4:
      gather<4>(row, width, to);
      break;
    default:
      for (int x = 0; x < width; ++x) to[x] = row[x * plane.step];
      break;
  }
}

}  // namespace fvlm::capture
