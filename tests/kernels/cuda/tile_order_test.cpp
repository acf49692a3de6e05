// The order of a GEMM's tiles: each comes once, and those that a device computes at once read few
// rows and columns.
#include "kernels/cuda/gemm/tile_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

namespace fvlm::emulated {
namespace {

TEST(CudaTileOrder, EachTileComesOnce) {
  for (const int rows : {1, 3, 8, 9, 31}) {
    for (const int columns : {1, 2, 7, 40}) {
      const TileOrder order{rows, columns};
      std::set<std::pair<int, int>> places;
      for (int tile = 0; tile < order.tiles(); ++tile) {
        const auto [row, column] = order.at(tile);
        EXPECT_TRUE(row >= 0 && row < rows && column >= 0 && column < columns);
        places.emplace(row, column);
      }
      EXPECT_EQ(static_cast<int>(places.size()), rows * columns) << rows << " x " << columns;
    }
  }
}

// How many rows and columns of tiles any so many adjacent tiles read.
int most_strips(const TileOrder& order, int at_once) {
  int most = 0;
  for (int first = 0; first + at_once <= order.tiles(); ++first) {
    std::set<int> rows;
    std::set<int> columns;
    for (int tile = first; tile < first + at_once; ++tile) {
      rows.insert(order.at(tile).row);
      columns.insert(order.at(tile).column);
    }
    most = std::max(most, static_cast<int>(rows.size() + columns.size()));
  }
  return most;
}

TEST(CudaTileOrder, AdjacentTilesShareRowsAndColumns) {
  EXPECT_LE(most_strips({64, 64}, 132), 2 * 8 + 132 / 8 + 3);  // 3 + 64 row after row
}

// A column of weights is read from memory once.
TEST(CudaTileOrder, FewRowsShareEachColumn) {
  const TileOrder order{3, 296};
  for (int tile = 0; tile < order.tiles(); ++tile) EXPECT_EQ(order.at(tile).column, tile / 3);
}

}  // namespace
}  // namespace fvlm::emulated
