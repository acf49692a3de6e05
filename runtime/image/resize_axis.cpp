#include "runtime/image/resize_axis.hpp"

#include <algorithm>
#include <cmath>

namespace fvlm {
namespace {

struct Kernel {
  double support;  // half its width
  double (*at)(double x);
};

double bicubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * kA;
  return 0.0;
}

double bilinear(double x) {
  return std::max(1.0 - std::abs(x), 0.0);
}

Kernel kernel_of(Preprocessing::Filter filter) {
  if (filter == Preprocessing::Filter::kBilinear) return {1.0, &bilinear};
  return {2.0, &bicubic};
}

std::int32_t fixed_point(double weight) {
  const double scaled = weight * (1 << kWeightFractionBits);
  return static_cast<std::int32_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
}

// Rounded down, for negative numbers as well.
std::int64_t half(std::int64_t n) {
  return n >> 1;
}

AxisPlacement placement(std::int64_t length, std::int64_t other, const Preprocessing& fit,
                        std::int64_t side) {
  if (fit.shape == Preprocessing::Shape::kPad) {
    const std::int64_t canvas = std::max(length, other);
    return {canvas, half(canvas - length), length, side, 0, side};
  }
  const std::int64_t resized =
      length <= other ? fit.shorter_side : fit.shorter_side * length / other;
  return {length, 0, length, resized, half(resized - side), side};
}

// Where a place on the canvas comes to lie among the outputs that are kept.
std::int64_t place_of(std::int64_t sample, const AxisPlacement& p) {
  return (sample * p.resized + p.canvas / 2) / p.canvas - p.first;
}

}  // namespace

ResizeAxis make_axis(const AxisPlacement& p, Preprocessing::Filter filter) {
  const Kernel kernel = kernel_of(filter);
  const double scale = static_cast<double>(p.canvas) / static_cast<double>(p.resized);
  const double stretch = std::max(scale, 1.0);
  const double support = kernel.support * stretch;
  const auto most_taps = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;

  ResizeAxis axis;
  axis.taps.resize(static_cast<std::size_t>(p.size));
  axis.stride = std::min(most_taps, p.length);
  axis.weights.resize(static_cast<std::size_t>(p.size * axis.stride));
  axis.begin = p.size;
  std::vector<double> exact(static_cast<std::size_t>(most_taps));
  for (std::int64_t i = std::max<std::int64_t>(0, -p.first);
       i < std::min(p.size, p.resized - p.first); ++i) {
    const double center = (static_cast<double>(p.first + i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), p.canvas);
    double total = 0.0;
    for (std::int64_t k = first; k < last; ++k) {
      const double weight = kernel.at((static_cast<double>(k) - center + 0.5) * (1.0 / stretch));
      exact[static_cast<std::size_t>(k - first)] = weight;
      total += weight;
    }
    const std::int64_t inside = std::max(first, p.offset);
    const std::int64_t inside_end = std::min(last, p.offset + p.length);
    if (inside >= inside_end) continue;
    axis.taps[static_cast<std::size_t>(i)] = {inside - p.offset, inside_end - inside};
    axis.begin = std::min(axis.begin, i);
    axis.end = i + 1;
    for (std::int64_t k = inside; k < inside_end; ++k) {
      axis.weights[static_cast<std::size_t>(i * axis.stride + k - inside)] =
          fixed_point(exact[static_cast<std::size_t>(k - first)] / total);
    }
  }
  axis.begin = std::min(axis.begin, axis.end);
  axis.shown_begin = std::clamp<std::int64_t>(place_of(p.offset, p), 0, p.size - 1);
  axis.shown_end = std::clamp(place_of(p.offset + p.length, p), axis.shown_begin + 1, p.size);
  return axis;
}

ResizePlan::ResizePlan(std::int64_t width, std::int64_t height, const Preprocessing& fit,
                       std::int64_t side)
    : across(make_axis(placement(width, height, fit, side), fit.filter)),
      down(make_axis(placement(height, width, fit, side), fit.filter)) {}

}  // namespace fvlm
