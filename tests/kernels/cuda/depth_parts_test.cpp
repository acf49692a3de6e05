// Into how many parts the depth of models' GEMMs is divided, and when these are spread over blocks.
#include "kernels/cuda/gemm/depth_parts.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/gemm/tile_choice.hpp"

namespace fvlm {
namespace {

TEST(DepthParts, SuitWhatModelsMultiply) {
  struct Case {
    const char* name;
    std::int64_t n, depth, rows;
    int parts;
    bool spreads;  // on 132 SMs
  };
  for (const Case& one :
       std::vector<Case>{{"0.5B down, a prompt", 896, 4864, 280, 4, true},
                         {"0.5B down, 32 prompts", 896, 4864, 8960, 4, false},
                         {"0.5B o", 896, 896, 280, 1, false},
                         {"7B down, a prompt", 3584, 18944, 280, 4, true},
                         {"7B gate and up", 37888, 3584, 280, 1, false},
                         {"stage 2, fc2", 384, 1536, 4096, 1, false},
                         {"stage 4, fc2", 1536, 6144, 256, 4, true},
                         {"stage 4, fc2, 32 images", 1536, 6144, 8192, 4, false}}) {
    const DepthParts parts(one.n, one.depth);
    EXPECT_EQ(parts.count(), one.parts) << one.name;
    const std::int64_t tiles = (one.rows + 127) / 128 * ((one.n + 127) / 128);
    EXPECT_EQ(parts.can_spread(one.rows) && parts.spreads(tiles, 132), one.spreads) << one.name;
    EXPECT_LE(parts.floats(100000), DepthParts::kMostSpread * 4 * 128 * 128) << one.name;
  }
}

// By mma: spread over many SMs, in turn over few that are busy anyway and where tiles are many.
TEST(DepthParts, AreMultipliedInTheTileThatTakesTheLeastTime) {
  const auto name_of_best = [](std::int64_t n, std::int64_t depth, std::int64_t rows, int sms) {
    return kPartTiles[best_part_tile(DepthParts(n, depth), rows, n, sms)].tile.name;
  };
  EXPECT_EQ(name_of_best(896, 4864, 280, 128), "128x128, parts spread");
  EXPECT_EQ(name_of_best(896, 4864, 64, 128), "64x64, parts spread");
  EXPECT_EQ(name_of_best(896, 4864, 64, 7), "64x64, parts in turn");
  EXPECT_EQ(name_of_best(896, 4864, 8960, 128), "128x128, parts in turn");
}

}  // namespace
}  // namespace fvlm
