// GEMM in bfloat16 on AMX tiles (Intel, from Sapphire Rapids on): a tile of 16 outputs' weights
// times one of 16 inputs, which are reordered for that, gives 16 x 16 sums.
#pragma once

#include <cstdint>

#include "fvlm/core/element.hpp"
#include "kernels/cpu/gemm/gemm.hpp"

namespace fvlm::gemm {

// Whether the processor has tiles and the kernel lets this process use them, which the first call
// asks for. No where FASTVLM_MAX_ISA leaves them out.
bool tiles_available();

inline constexpr std::int64_t kTileRows = 16;   // outputs of a tile of weights, inputs of the other
inline constexpr std::int64_t kTileDepth = 32;  // elements of a row in a tile

// Elements of a row with the zeros that fill its last tile.
constexpr std::int64_t tiled_depth(std::int64_t depth) {
  return (depth + kTileDepth - 1) / kTileDepth * kTileDepth;
}

// Elements of `rows` reordered inputs of `depth` elements.
constexpr std::int64_t tiled_elements(std::int64_t rows, std::int64_t depth) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows * tiled_depth(depth);
}

// Where packed weights have the first element of this output: 32 follow one another, the next 32
// are kPanel * 32 elements further.
constexpr std::int64_t tiled_row(std::int64_t output, std::int64_t depth) {
  return output / kPanel * kPanel * tiled_depth(depth) + output % kPanel * kTileDepth;
}

// Depth up to which inputs of a prefill stay in the second-level cache. Sums wait in memory, in
// float32, until the next part of the depth is added: the order of additions stays the same.
inline constexpr std::int64_t kTiledPart = 1024;
constexpr bool tiled_in_parts(std::int64_t rows, std::int64_t depth) {
  return rows > kTileRows && tiled_depth(depth) > kTiledPart;
}
// Four tiles of sums, or all.
constexpr std::int64_t tile_scratch_floats(std::int64_t rows, std::int64_t outputs,
                                           std::int64_t depth) {
  const auto up = [](std::int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; };
  return tiled_in_parts(rows, depth) ? up(rows) * up(outputs) : 4 * kTileRows * kTileRows;
}

// As gemm.hpp's, where tiles are available, of inputs [rows / 16][depth / 32][16 pairs][16][2].
void reorder_into_tiles(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                        std::int64_t depth, BFloat16* to);
void multiply_tiles(const Product& product, float* scratch, float* out);
void multiply_tiles(const Product& product, float* scratch, BFloat16* out);
std::int64_t multiply_adds_tiles(std::int64_t rounds, float* result);

}  // namespace fvlm::gemm
