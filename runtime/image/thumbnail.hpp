// A picture in 32 x 32 grey fields, to see whether a camera's view has changed.
#pragma once

#include <array>
#include <cstdint>

#include "runtime/image/fit.hpp"

namespace fvlm {

struct Thumbnail {
  static constexpr std::int64_t kSide = 32;
  std::array<float, kSide * kSide> fields{};  // mean brightness in 0..255

  // The mean difference of two fields, in 0..255.
  double difference(const Thumbnail& other) const;
};

// Of the part of a square [side, side, 3] that shows the picture. Means over some pixels of each
// field: enough of them that noise averages out.
Thumbnail make_thumbnail(const std::uint8_t* square, std::int64_t side, const ShownPart& shown);

}  // namespace fvlm
