#include "capture/source/transform.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace fvlm::capture {
namespace {

struct Bounds {
  double left = 0;
  double top = 0;
  double right = 1;
  double bottom = 1;
};

// In fractions of the picture.
Bounds bounds_of(const Area& area, int width, int height) {
  const double across = area.in_fractions ? 1 : width;
  const double down = area.in_fractions ? 1 : height;
  return {area.x / across, area.y / down, (area.x + area.width) / across,
          (area.y + area.height) / down};
}

// Rounding errors of a division must not cost a pixel.
constexpr double kSlack = 1e-6;

int down_to(double value, int multiple) {
  return static_cast<int>(std::floor(value / multiple + kSlack)) * multiple;
}
int up_to(double value, int multiple) {
  return static_cast<int>(std::ceil(value / multiple - kSlack)) * multiple;
}

Box clipped(int left, int top, int right, int bottom, int width, int height) {
  left = std::clamp(left, 0, width);
  top = std::clamp(top, 0, height);
  return {left, top, std::clamp(right, left, width) - left, std::clamp(bottom, top, height) - top};
}

Box mask_of(const Area& area, const Planes& planes, int width, int height) {
  const Bounds part = bounds_of(area, width, height);
  const int w = planes.of[0].width;
  const int h = planes.of[0].height;
  return clipped(down_to(part.left * w, planes.chroma_x), down_to(part.top * h, planes.chroma_y),
                 up_to(part.right * w, planes.chroma_x), up_to(part.bottom * h, planes.chroma_y), w,
                 h);
}

Box crop_of(const Area& area, const Planes& planes, int width, int height) {
  const Bounds part = bounds_of(area, width, height);
  const int w = planes.of[0].width;
  const int h = planes.of[0].height;
  const Box box = clipped(
      up_to(part.left * w, planes.chroma_x), up_to(part.top * h, planes.chroma_y),
      down_to(part.right * w, planes.chroma_x), down_to(part.bottom * h, planes.chroma_y), w, h);
  if (box.width > 0 && box.height > 0) return box;
  throw TransformError(
      fmt::format("--crop {},{},{},{} leaves nothing of a picture of {}x{}; give an area inside it",
                  area.x, area.y, area.width, area.height, width, height));
}

Plane part_of(const Plane& plane, const Box& box, int chroma_x, int chroma_y) {
  return {plane.data + (box.y / chroma_y) * plane.stride + (box.x / chroma_x) * plane.step,
          plane.stride, plane.step, box.width / chroma_x, box.height / chroma_y};
}

void cut(Planes& planes, const Box& box) {
  for (std::size_t c = 0; c < static_cast<std::size_t>(planes.count); ++c) {
    planes.of[c] =
        part_of(planes.of[c], box, c == 0 ? 1 : planes.chroma_x, c == 0 ? 1 : planes.chroma_y);
  }
  for (Box& black : planes.black) {
    black = clipped(black.x - box.x, black.y - box.y, black.x - box.x + black.width,
                    black.y - box.y + black.height, box.width, box.height);
  }
}

void mirror_rows(Planes& planes) {
  for (Box& black : planes.black) black.x = planes.of[0].width - black.x - black.width;
  for (Plane& plane : planes.of) {
    plane.data += (plane.width - 1) * plane.step;
    plane.step = -plane.step;
  }
}

void mirror_columns(Planes& planes) {
  for (Box& black : planes.black) black.y = planes.of[0].height - black.y - black.height;
  for (Plane& plane : planes.of) {
    plane.data += (plane.height - 1) * plane.stride;
    plane.stride = -plane.stride;
  }
}

// Rows become columns.
void transpose(Planes& planes) {
  for (Box& black : planes.black) black = {black.y, black.x, black.height, black.width};
  for (Plane& plane : planes.of) {
    std::swap(plane.stride, plane.step);
    std::swap(plane.width, plane.height);
  }
  std::swap(planes.chroma_x, planes.chroma_y);
}

void rotate(Planes& planes, int degrees) {
  if (degrees == 90 || degrees == 270) transpose(planes);
  if (degrees == 90 || degrees == 180) mirror_rows(planes);
  if (degrees == 180 || degrees == 270) mirror_columns(planes);
}

}  // namespace

Area parse_area(const std::string& text) {
  std::array<double, 4> values{};
  int fractions = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  bool good = true;
  for (std::size_t i = 0; good && i < values.size(); ++i) {
    const auto [rest, error] = std::from_chars(at, end, values[i], std::chars_format::fixed);
    good = error == std::errc{} && std::isfinite(values[i]) && values[i] >= 0 &&
           (i == 3 ? rest == end : rest != end && *rest == ',');
    if (good && std::find(at, rest, '.') != rest) ++fractions;
    at = good && i < 3 ? rest + 1 : rest;
  }
  if (!good || (fractions != 0 && fractions != 4)) {
    throw std::invalid_argument(fmt::format(
        "{}: expected X,Y,WIDTH,HEIGHT, either all in pixels, as 0,0,320,120, or all in "
        "fractions of the picture with a decimal point, as 0.0,0.0,0.5,0.25",
        text));
  }
  const Area area{values[0], values[1], values[2], values[3], fractions == 4};
  if (area.width <= 0 || area.height <= 0) {
    throw std::invalid_argument(text + ": an area without a width or a height");
  }
  if (area.in_fractions &&
      (area.x + area.width > 1 + kSlack || area.y + area.height > 1 + kSlack)) {
    throw std::invalid_argument(text + ": fractions that lead out of the picture, beyond 1.0");
  }
  return area;
}

int width_after(const Transform& transform, int width, int height) {
  Planes picture{1, {{{nullptr, 0, 0, width, height}}}, 1, 1, {}};
  if (transform.crop) {
    const Box box = crop_of(*transform.crop, picture, width, height);
    width = box.width;
    height = box.height;
  }
  return transform.rotate == 90 || transform.rotate == 270 ? height : width;
}

Planes transformed(const Planes& planes, const Transform& transform, int width, int height) {
  Planes seen = planes;
  for (const Area& mask : transform.masks) {
    seen.black.push_back(mask_of(mask, planes, width, height));
  }
  // Whole samples of the colour, so that all planes are turned about the same point.
  const Box whole{0, 0, planes.of[0].width / planes.chroma_x * planes.chroma_x,
                  planes.of[0].height / planes.chroma_y * planes.chroma_y};
  cut(seen, transform.crop ? crop_of(*transform.crop, planes, width, height) : whole);
  rotate(seen, transform.rotate);
  if (transform.flip_horizontal) mirror_rows(seen);
  if (transform.flip_vertical) mirror_columns(seen);
  return seen;
}

}  // namespace fvlm::capture
