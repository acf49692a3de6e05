#include "runtime/image/thumbnail.hpp"

#include <algorithm>
#include <cmath>

namespace fvlm {

double Thumbnail::difference(const Thumbnail& other) const {
  double sum = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    sum += std::abs(static_cast<double>(fields[i]) - static_cast<double>(other.fields[i]));
  }
  return sum / static_cast<double>(fields.size());
}

Thumbnail make_thumbnail(const std::uint8_t* square, std::int64_t side, const ShownPart& shown) {
  constexpr std::int64_t kSamples = 8;  // a side of a field, at most
  constexpr std::int64_t kSide = Thumbnail::kSide;
  // Sample i of `count` on an axis of `length` pixels, from its first to its last.
  const auto at = [](std::int64_t i, std::int64_t count, std::int64_t length) {
    return std::min((2 * i + 1) * length / (2 * count), length - 1);
  };
  Thumbnail thumbnail;
  for (std::int64_t y = 0; y < kSide * kSamples; ++y) {
    const auto* row =
        square + ((shown.top + at(y, kSide * kSamples, shown.height)) * side + shown.left) * 3;
    for (std::int64_t x = 0; x < kSide * kSamples; ++x) {
      const auto* pixel = row + at(x, kSide * kSamples, shown.width) * 3;
      const int sum = pixel[0] + 2 * pixel[1] + pixel[2];
      thumbnail.fields[static_cast<std::size_t>(y / kSamples * kSide + x / kSamples)] +=
          static_cast<float>(sum) / (4 * kSamples * kSamples);
    }
  }
  return thumbnail;
}

}  // namespace fvlm
