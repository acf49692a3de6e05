// GEMM in bfloat16 on AMX tiles (Intel, from Sapphire Rapids on): a tile of 16 outputs' weights
// times one of 16 inputs, which are reordered for that, gives 16 x 16 sums. A tile of weights may
// come from rows as they are stored.
#pragma once

#include <cstdint>

#include "fvlm/core/element.hpp"
#include "kernels/cpu/gemm.hpp"

namespace fvlm::gemm {

// Whether the processor has tiles and the kernel lets this process use them, which the first call
// asks for. No where ONEDNN_MAX_CPU_ISA leaves them out.
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

// Reorders inputs, [rows, depth] with `stride` between rows, to
// [rows / 16][depth / 32][16 pairs][16 inputs][2].
void reorder_inputs(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                    std::int64_t depth, BFloat16* to);

// As pack_panels().
void pack_tiles(const BFloat16* rows, std::int64_t stride, std::int64_t outputs, std::int64_t depth,
                BFloat16* to);

// As gemm.hpp's, with this much scratch memory.
std::int64_t tile_scratch_floats(std::int64_t rows, std::int64_t outputs, std::int64_t depth);
void multiply_tiles(const Product& product, float* scratch, float* out);
void multiply_tiles(const Product& product, float* scratch, BFloat16* out);

}  // namespace fvlm::gemm
