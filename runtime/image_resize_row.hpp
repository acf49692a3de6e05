// The hot part of resizing a picture: one row, with vector instructions chosen at run time.
#pragma once

#include <cstdint>
#include <vector>

#include "fvlm/ops/resize.hpp"

namespace fvlm {

// The weights of two neighbouring source pixels, split for 16-bit multiply-add instructions:
// weight = high * 256 + low, where low is 0..255.
struct WeightPair {
  std::int16_t high[2];
  std::int16_t low[2];
};

struct RowFilter {
  std::vector<Taps> taps;         // one for each output pixel
  std::int64_t stride = 0;        // room for the pairs of one output pixel
  std::vector<WeightPair> pairs;  // [taps.size(), stride], zero behind the taps
};

// Bytes that resize_row reads behind its input, and writes behind its output.
inline constexpr std::int64_t kRowReadSlack = 16;
inline constexpr std::int64_t kRowWriteSlack = 1;

// out[x] = the sum over the taps of x of in[tap] * weight, rounded and clipped to 8 bits, for the
// three channels of each pixel: in [width, 3], out [taps.size(), 3].
void resize_row(const std::uint8_t* in, const RowFilter& filter, std::uint8_t* out);

}  // namespace fvlm
