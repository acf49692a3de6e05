// Into how many parts the depth of a GEMM on tensor cores is divided (tile_product.hpp,
// hopper/parts.hpp), whose sums are added in order: so that few rows with a long depth keep all SMs
// busy. This follows from the matrix alone, and so bits depend neither on the rows of a pass nor on
// the device. Who multiplies the parts of a tile, one block or one each, is chosen by speed.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fvlm {

class DepthParts {
 public:
  static constexpr int kM = 128;  // of the tile that the rule counts, the largest
  static constexpr int kN = 128;
  static constexpr int kStep = 64;  // of the depth
  // More tiles keep SMs busy without being spread, and scratch memory small.
  static constexpr std::int64_t kMostSpread = 132;

  // Of C [m, n] = A [m, depth] B [n, depth]^T.
  DepthParts(std::int64_t n, std::int64_t depth)
      : columns_((n + kN - 1) / kN), steps_((depth + kStep - 1) / kStep) {
    // Fewer parts are better if they take about as long: each has its sums to hand over.
    constexpr double kAboutAsLong = 0.95;
    double least = time(1);
    for (std::int64_t parts = 2; parts <= std::min(kMostParts, steps_ / kLeastSteps); ++parts) {
      const double time_of = time(parts);
      if (time_of >= kAboutAsLong * least) continue;
      least = time_of;
      count_ = parts;
    }
  }

  int count() const { return static_cast<int>(count_); }
  int steps() const { return static_cast<int>(steps_); }  // of the whole depth

  // Whether m rows can be spread.
  bool can_spread(std::int64_t m) const { return tiles(m) <= kMostSpread; }
  // Whether to spread `tiles` of any size is the faster way on so many SMs, by waves.
  bool spreads(std::int64_t tiles, std::int64_t multiprocessors) const {
    return time(tiles, true, multiprocessors) < time(tiles, false, multiprocessors);
  }
  // How long `tiles` of any size take on so many SMs, in steps of one.
  double time(std::int64_t tiles, bool spread, std::int64_t multiprocessors) const {
    return time_in(spread ? count_ : 1, tiles, multiprocessors);
  }
  // Of scratch memory for spread parts of up to m rows.
  std::int64_t floats(std::int64_t m) const {
    return count_ == 1 ? 0 : std::min(tiles(m), kMostSpread) * count_ * kM * kN;
  }

 private:
  static constexpr std::int64_t kMostParts = 8;
  static constexpr std::int64_t kLeastSteps = 16;

  std::int64_t tiles(std::int64_t m) const { return (m + kM - 1) / kM * columns_; }
  // In steps of a tile: how long `tiles` take, each part of which is a block's, on so many SMs.
  double time_in(std::int64_t parts, std::int64_t tiles, std::int64_t multiprocessors) const {
    constexpr double kMeeting = 4;  // of the sums
    const std::int64_t waves = (tiles * parts + multiprocessors - 1) / multiprocessors;
    const double steps = static_cast<double>(steps_) / static_cast<double>(parts);
    return static_cast<double>(waves) * (steps + (parts > 1 ? kMeeting : 0));
  }
  // Of all that the rule is made for: an image's last rows of positions, a prompt, some prompts.
  double time(std::int64_t parts) const {
    constexpr std::int64_t kMultiprocessors = 132;
    double sum = 0;
    for (const std::int64_t rows : {2, 3, 8}) {
      sum += time_in(parts, rows * columns_, kMultiprocessors);
    }
    return sum;
  }

  std::int64_t columns_;  // of tiles
  std::int64_t steps_;
  std::int64_t count_ = 1;
};

}  // namespace fvlm
