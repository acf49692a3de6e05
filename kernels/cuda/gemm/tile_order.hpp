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

// What a persistent block multiplies at a time: the whole depth of a tile ...
struct WholeDepth {
  static constexpr bool kInParts = false;

  int tiles;
  int steps;  // of the depth

  __host__ __device__ int units() const { return tiles; }
  __device__ int tile_of(int unit) const { return unit; }
  __device__ int first_step(int) const { return 0; }
  __device__ int end_step(int) const { return steps; }
};
// ... or one after the other the parts of its depth (depth_parts.hpp); or one part alone, where
// they are spread over blocks.
struct DepthInParts {
  static constexpr bool kInParts = true;

  int tiles;
  int steps;
  int parts;
  bool spread;

  __host__ __device__ int units() const { return spread ? tiles * parts : tiles; }
  __device__ int tile_of(int unit) const { return spread ? unit / parts : unit; }
  __device__ int first_part(int unit) const { return spread ? unit % parts : 0; }
  __device__ int end_part(int unit) const { return spread ? unit % parts + 1 : parts; }
  __device__ int step_of(int part) const { return part * steps / parts; }
  __device__ int first_step(int unit) const { return step_of(first_part(unit)); }
  __device__ int end_step(int unit) const { return step_of(end_part(unit)); }
};

// A step of the depth of one of the block's units, and how many steps the block has before.
struct BlockStep {
  int unit;
  int step;
  int count;

  template <class Depth>
  __device__ static BlockStep first(const Depth& depth) {
    const auto unit = static_cast<int>(blockIdx.x);
    return {unit, depth.first_step(unit), 0};
  }
  template <class Depth>
  __device__ void next(const Depth& depth) {
    ++count;
    if (++step < depth.end_step(unit)) return;
    unit += static_cast<int>(gridDim.x);
    step = depth.first_step(unit);
  }
};

// Of the tiles [kM, kN] of an [m, n] matrix.
template <int kM, int kN>
__host__ __device__ constexpr TileOrder order_of_tiles(int m, int n) {
  return {(m + kM - 1) / kM, (n + kN - 1) / kN};
}

}  // namespace fvlm::FVLM_CUDA_TARGET
