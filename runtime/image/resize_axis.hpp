// How one axis of a picture is resized, as Pillow's antialiased filters do it, bit for bit.
//
// The filter's kernel is stretched by the reduction factor when the picture shrinks, so that every
// source sample counts. Weights are normalised in double, then rounded to fixed point with 22
// fractional bits. The border around a picture is black and adds nothing to any sum: weights are
// computed for the canvas with the border, and those that fall on it are left out.
//
// Bicubic: R. Keys, 1981, a = -0.5. Bilinear: the triangle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fvlm/models/config.hpp"

namespace fvlm {

// Which source samples make up an output sample: `count` of them from `first` on.
struct Taps {
  std::int64_t first = 0;
  std::int64_t count = 0;

  std::int64_t end() const { return first + count; }
};

// Weights are fixed-point numbers with this many fractional bits.
inline constexpr int kWeightFractionBits = 22;

// Where a picture's samples lie, and what of them is wanted.
struct AxisPlacement {
  std::int64_t canvas = 0;   // samples that are resized, of which
  std::int64_t offset = 0;   // the picture's begin here
  std::int64_t length = 0;   // and are so many
  std::int64_t resized = 0;  // samples that the canvas becomes, of which
  std::int64_t first = 0;    // those from here on are kept: negative for a border
  std::int64_t size = 0;     // and so many
};

// Outputs are those that are kept, taps count from the picture's first sample.
struct ResizeAxis {
  std::vector<Taps> taps;             // [size]
  std::int64_t stride = 0;            // room for the weights of one output
  std::vector<std::int32_t> weights;  // [size, stride], zero behind `count`
  std::int64_t begin = 0;             // outputs in [begin, end) touch the picture,
  std::int64_t end = 0;               // the others are black;
  std::int64_t shown_begin = 0;       // those in [shown_begin, shown_end) lie in it, one at least
  std::int64_t shown_end = 0;

  const std::int32_t* weights_of(std::int64_t output) const {
    return weights.data() + output * stride;
  }
  std::int64_t outputs() const { return end - begin; }
};

ResizeAxis make_axis(const AxisPlacement& placement, Preprocessing::Filter filter);

// Both axes of an upright picture of width x height that becomes a square of `side`.
struct ResizePlan {
  ResizeAxis across;
  ResizeAxis down;

  ResizePlan(std::int64_t width, std::int64_t height, const Preprocessing& fit, std::int64_t side);
};

}  // namespace fvlm
