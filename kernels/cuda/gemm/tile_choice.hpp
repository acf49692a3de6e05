// Which tile a GEMM on tensor cores is computed with: the one that takes the least time on a device
// with so many SMs, by waves of tiles times the time of a tile. Large tiles read operands least
// often, small ones keep all SMs busy. Bits do not depend on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace fvlm {

struct TileChoice {
  std::int64_t m;
  std::int64_t n;
  double rate;  // of the area that a busy SM computes in a time, relative to the largest tile's
};
inline constexpr TileChoice kTileChoices[] = {
    {128, 128, 1.0}, {128, 64, 0.85}, {64, 64, 0.7}, {32, 64, 0.45}};

// The index of the tile of an [m, n] GEMM.
inline std::size_t best_tile(std::int64_t m, std::int64_t n, std::int64_t multiprocessors) {
  std::size_t best = 0;
  double least = 0;
  for (std::size_t i = 0; i < std::size(kTileChoices); ++i) {
    const TileChoice& tile = kTileChoices[i];
    const std::int64_t tiles = (m + tile.m - 1) / tile.m * ((n + tile.n - 1) / tile.n);
    const std::int64_t waves = (tiles + multiprocessors - 1) / multiprocessors;
    const double time = static_cast<double>(waves * tile.m * tile.n) / tile.rate;
    if (i == 0 || time < least) {
      least = time;
      best = i;
    }
  }
  return best;
}

}  // namespace fvlm
