// How pictures become squares: the filters that centre a picture on black and resize it as Pillow
// does, bit for bit, for whoever applies them.
//
// Bicubic interpolation (R. Keys, 1981, a = -0.5) whose kernel is stretched by the reduction factor
// when the picture shrinks, so that every source pixel counts. Weights are normalised in double,
// then rounded to fixed point with 22 fractional bits. First each row is resized, rounded to 8 bits
// and clipped, then each column. The black border adds nothing to any sum: weights are computed for
// the whole square, and those that fall on the border are left out.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fvlm/core/view.hpp"

namespace fvlm {

// Which source samples make up an output sample: `count` of them from `first` on.
struct Taps {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// Weights are fixed-point numbers with this many fractional bits.
inline constexpr int kWeightFractionBits = 22;

inline double bicubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * kA;
  return 0.0;
}

// How one axis of the square is resized.
struct ResizeAxis {
  std::vector<Taps> taps;             // [size]
  std::int64_t stride = 0;            // room for the weights of one output sample, even
  std::vector<std::int32_t> weights;  // [size, stride], zero behind `count`
  std::int64_t begin = 0;             // outputs in [begin, end) touch the picture,
  std::int64_t end = 0;               // the others are black

  const std::int32_t* weights_of(std::int64_t output) const {
    return weights.data() + output * stride;
  }
};

// For a square of `side` samples that holds the picture in [offset, offset + length). Taps count
// from the picture's first sample.
inline ResizeAxis make_axis(std::int64_t side, std::int64_t offset, std::int64_t length,
                            std::int64_t size) {
  const double scale = static_cast<double>(side) / static_cast<double>(size);
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  const auto most_taps = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;

  ResizeAxis axis;
  axis.taps.resize(static_cast<std::size_t>(size));
  axis.stride = (std::min(most_taps, length) + 1) / 2 * 2;
  axis.weights.resize(static_cast<std::size_t>(size * axis.stride));
  axis.begin = size;
  std::vector<double> exact(static_cast<std::size_t>(most_taps));
  for (std::int64_t i = 0; i < size; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), side);
    double total = 0.0;
    for (std::int64_t k = first; k < last; ++k) {
      const double weight = bicubic((static_cast<double>(k) - center + 0.5) * (1.0 / stretch));
      exact[static_cast<std::size_t>(k - first)] = weight;
      total += weight;
    }
    const std::int64_t inside = std::max(first, offset);
    const std::int64_t inside_end = std::min(last, offset + length);
    if (inside >= inside_end) continue;
    axis.taps[static_cast<std::size_t>(i)] = {inside - offset, inside_end - inside};
    axis.begin = std::min(axis.begin, i);
    axis.end = i + 1;
    for (std::int64_t k = inside; k < inside_end; ++k) {
      const double scaled =
          exact[static_cast<std::size_t>(k - first)] / total * (1 << kWeightFractionBits);
      axis.weights[static_cast<std::size_t>(i * axis.stride + k - inside)] =
          static_cast<std::int32_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
    }
  }
  return axis;
}

// A picture of width x height in the middle of the square of its longer side (offsets rounded
// down), which becomes `size` pixels wide and high.
struct ResizePlan {
  ResizeAxis horizontal;
  ResizeAxis vertical;

  ResizePlan(std::int64_t width, std::int64_t height, std::int64_t size)
      : horizontal(
            make_axis(std::max(width, height), (std::max(width, height) - width) / 2, width, size)),
        vertical(make_axis(std::max(width, height), (std::max(width, height) - height) / 2, height,
                           size)) {}
};

// For backends that can: resize(picture [1, height, width, 3], plan, out), out [size, size, 3] on
// the host, as runtime/image_processor.hpp says.
template <class B>
concept ResizesPictures = requires(B& backend, FeatureMap<const std::uint8_t> picture,
                                   const ResizePlan& plan, std::span<std::uint8_t> out) {
  backend.resize(picture, plan, out);
};

}  // namespace fvlm
