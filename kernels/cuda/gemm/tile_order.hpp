// In which order the tiles of a GEMM are computed. A device computes some hundred adjacent ones at
// once: these are to need few rows of A and few of B, so that L2 has what many of them read. So
// tiles come in bands of kBand rows of tiles, column after column: a prompt's few rows of tiles
// read each weight from memory once, and of many rows a band's stay in L2 while the weights pass.
#pragma once

#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

struct TilePlace {
  int row;  // in tiles
  int column;
};

struct TileOrder {
  static constexpr int kBand = 8;

  int rows;  // of tiles
  int columns;

  __host__ __device__ constexpr int tiles() const { return rows * columns; }

  __host__ __device__ constexpr TilePlace at(int tile) const {
    const int first = tile / (kBand * columns) * kBand;  // row of the band
    const int height = rows - first < kBand ? rows - first : kBand;
    const int in_band = tile - first * columns;
    return {first + in_band % height, in_band / height};
  }
};

// A step of the depth of one of a persistent block's tiles, and how many steps the block has
// before.
struct BlockStep {
  int tile;
  int step;
  int count;

  __device__ static BlockStep first() { return {static_cast<int>(blockIdx.x), 0, 0}; }
  __device__ void next(int steps_of_tile) {
    ++count;
    if (++step < steps_of_tile) return;
    step = 0;
    tile += static_cast<int>(gridDim.x);
  }
};

// Of the tiles [kM, kN] of an [m, n] matrix.
template <int kM, int kN>
__host__ __device__ constexpr TileOrder order_of_tiles(int m, int n) {
  return {(m + kM - 1) / kM, (n + kN - 1) / kN};
}

}  // namespace fvlm::FVLM_CUDA_TARGET
