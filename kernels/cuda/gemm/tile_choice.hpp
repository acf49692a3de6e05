// Which tile a GEMM on tensor cores is computed with, by its index. Bits do not depend on it. A
// tile that was measured to be the fastest comes from a TileTable (host/tile_table.hpp); otherwise
// a rule chooses: the tile that takes the least time on a device with so many SMs, by waves of
// tiles times the time of a tile. Large tiles read operands least often, small ones keep all SMs
// busy.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>

#include "kernels/cuda/gemm/depth_parts.hpp"

namespace fvlm {

struct TileChoice {
  std::string_view name;
  std::int64_t m;
  std::int64_t n;
  double rate;  // of the area that a busy SM computes in a time, relative to the largest tile's
};
inline constexpr TileChoice kTileChoices[] = {{"128x128", 128, 128, 1.0},
                                              {"128x64", 128, 64, 0.85},
                                              {"64x64", 64, 64, 0.7},
                                              {"32x64", 32, 64, 0.45}};
// Where the depth is in parts (depth_parts.hpp): a tile, and whether its parts are spread over
// blocks. Those that are not come first.
struct PartTile {
  TileChoice tile;
  bool spread;
};
inline constexpr PartTile kPartTiles[] = {
    {{"128x128, parts in turn", 128, 128, 1.0}, false},
    {{"64x64, parts in turn", 64, 64, 0.7}, false},
    {{"128x128, parts spread", 128, 128, 1.0}, true},
    {{"64x64, parts spread", 64, 64, 0.7}, true},
};
// By wgmma, on compute capability 9.0. Columns in pairs want a width that is a power of two: they
// have the first kHopperPairTiles.
inline constexpr std::array<std::string_view, 4> kHopperTiles = {"wgmma 128x128", "wgmma 64x64",
                                                                 "wgmma 256x128", "wgmma 128x96"};
inline constexpr int kHopperPairTiles = 3;
// Where the depth is in parts.
inline constexpr std::array<std::string_view, 2> kHopperParts = {"wgmma 128x128, parts in turn",
                                                                 "wgmma 128x128, parts spread"};
inline constexpr int kSpreadParts = 1;  // of these and of kQuantisedParts
// By wgmma with quantised weights: outputs and tokens.
inline constexpr TileChoice kQuantisedTiles[] = {
    {"wgmma 128x128", 128, 128, 1.0}, {"wgmma 128x64", 128, 64, 0.8}, {"wgmma 64x64", 64, 64, 0.6}};
inline constexpr std::array<std::string_view, 2> kQuantisedParts = {"wgmma 128x64, parts in turn",
                                                                    "wgmma 128x64, parts spread"};

// The rule decides.
inline constexpr int kTileByRule = -1;

// How many there are of it in an [m, n] matrix.
inline std::int64_t count_of(const TileChoice& tile, std::int64_t m, std::int64_t n) {
  return (m + tile.m - 1) / tile.m * ((n + tile.n - 1) / tile.n);
}
// How long a busy SM takes for it, in the time that it takes for an output of the largest.
inline double time_of(const TileChoice& tile) {
  return static_cast<double>(tile.m * tile.n) / tile.rate;
}

// The tile of these that an [m, n] GEMM takes the least time with: an index.
inline std::size_t best_tile_of(std::span<const TileChoice> choices, std::int64_t m, std::int64_t n,
                                std::int64_t multiprocessors) {
  const auto time = [&](const TileChoice& tile) {
    const std::int64_t waves = (count_of(tile, m, n) + multiprocessors - 1) / multiprocessors;
    return static_cast<double>(waves) * time_of(tile);
  };
  const auto best = std::ranges::min_element(choices, {}, time);
  return static_cast<std::size_t>(best - choices.begin());
}

// The rule for an [m, n] GEMM: an index.
inline std::size_t best_tile(std::int64_t m, std::int64_t n, std::int64_t multiprocessors) {
  return best_tile_of(kTileChoices, m, n, multiprocessors);
}
// The same where the depth is in parts.
inline std::size_t best_part_tile(const DepthParts& parts, std::int64_t m, std::int64_t n,
                                  std::int64_t multiprocessors) {
  const auto time = [&](const PartTile& choice) {
    if (choice.spread && !parts.can_spread(m)) return std::numeric_limits<double>::infinity();
    return parts.time(count_of(choice.tile, m, n), choice.spread, multiprocessors) *
           time_of(choice.tile);
  };
  return static_cast<std::size_t>(std::ranges::min_element(kPartTiles, {}, time) - kPartTiles);
}
// The same by wgmma with quantised weights.
inline int best_quantised_tile(std::int64_t outputs, std::int64_t tokens,
                               std::int64_t multiprocessors) {
  return static_cast<int>(best_tile_of(kQuantisedTiles, outputs, tokens, multiprocessors));
}

// The same by wgmma: as many blocks as there are SMs, if possible. The largest tile wants a long
// depth, which hides an epilogue that no other products hide: it is left to measuring.
inline int best_hopper_tile(std::int64_t m, std::int64_t n, std::int64_t multiprocessors,
                            bool pairs = false) {
  if (!pairs && n % 128 != 0 && n <= 192) return 3;
  return (m + 127) / 128 * ((n + 127) / 128) >= multiprocessors ? 0 : 1;
}

// Whether parts by wgmma are spread, of `tiles` for m rows: `tile` is an index of kHopperParts or
// of kQuantisedParts, or kTileByRule.
inline bool spreads_parts(const DepthParts& parts, std::int64_t m, std::int64_t tiles,
                          std::int64_t multiprocessors, int tile) {
  return parts.can_spread(m) &&
         (tile == kTileByRule ? parts.spreads(tiles, multiprocessors) : tile == kSpreadParts);
}

}  // namespace fvlm
