// The hot part of resizing a picture: along a row, and across rows, with vector instructions chosen
// at run time. Both round to 8 bits and clip, as Pillow does between its passes.
//
// Products are made of 16-bit numbers, two at a time: a weight has 23 bits and a sign, so it is
// split into weight = high * 256 + low, with low in 0..255.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/image/resize_axis.hpp"

namespace fvlm {

// Resizes rows of RGB pixels along an axis.
class RowResizer {
 public:
  // Bytes that run() writes behind its output.
  static constexpr std::int64_t kWriteSlack = 1;

  // For rows of `width` pixels.
  RowResizer(const ResizeAxis& axis, std::int64_t width);

  // in [width, 3] -> out [axis.outputs(), 3].
  void run(const std::uint8_t* in, std::uint8_t* out);

  // What the kernels see.
  struct Filter {
    std::vector<Taps> taps;          // one for each output
    std::int64_t stride = 0;         // room for the weights of one output, of whole vectors
    std::vector<std::int16_t> high;  // [taps.size(), stride], zero behind the taps
    std::vector<std::int16_t> low;   // likewise
  };

 private:
  Filter filter_;
  std::int64_t width_;
  std::int64_t plane_;                // bytes of one channel, with slack
  std::vector<std::uint8_t> planes_;  // [3, plane]: a row's channels apart
};

// out[i] = the sum over k of lines[k][i] * weights[k], for `count` bytes; as many lines as weights.
void combine_lines(std::span<const std::uint8_t* const> lines,
                   std::span<const std::int32_t> weights, std::int64_t count, std::uint8_t* out);

}  // namespace fvlm
