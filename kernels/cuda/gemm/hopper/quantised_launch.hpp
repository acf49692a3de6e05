// Launches GEMMs with int8 or int4 weights for compute capability 9.0 (quantised_product.hpp): with
// which tile, and how results are stored.
#pragma once

#include <algorithm>

#include "kernels/cuda/gemm/hopper/quantised_product.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/launch.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <class Tile, class Columns, class Epilogue>
void launch_quantised_product(Stream<kTarget>& stream, int multiprocessors,
                              const TokenInput<BFloat16>& input, const Columns& columns,
                              const Epilogue& epilogue) {
  const DeviceMatrix& w = input.weights;
  const TileOrder tiles = order_of_tiles<Tile::kTokens, Tile::kOutputs>(input.rows, w.out);
  const View<const BFloat16> words{reinterpret_cast<const BFloat16*>(w.weight), w.out,
                                   w.row_bytes / 2, w.row_bytes / 2};
  const View<const BFloat16> x{input.x, input.rows, w.in, input.stride};
  launch<quantised_product<Tile, Columns, Epilogue>>(
      Launch{.grid = std::min(tiles.tiles(), multiprocessors),
             .block = Tile::kThreads,
             .shared_bytes = Tile::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      tensor_map<kTarget>(words, columns.template box_rows<Tile::kOutputs>(), kNarrowBoxDepth),
      tensor_map<kTarget>(x, Tile::kTokens), columns, w, epilogue, input.rows);
}

// work.template operator()<Tile>() with the tile for so many tokens: `tile` is an index of
// kQuantisedTiles, or kTileByRule.
template <WeightType kType, class Work>
void dispatch_quantised_tile(int outputs, int tokens, int multiprocessors, int tile,
                             const Work& work) {
  if (tile == kTileByRule) tile = best_quantised_tile(outputs, tokens, multiprocessors);
  switch (tile) {
    case 0:
      return work.template operator()<QuantisedTile<kType, 128, 128>>();
    case 1:
      return work.template operator()<QuantisedTile<kType, 128, 64>>();
    default:
      return work.template operator()<QuantisedTile<kType, 64, 64>>();
  }
}

// Results to an epilogue of rows, or, in boxes, to those of [tokens, cols].
template <WeightType kType, class Columns>
void multiply_quantised(Stream<kTarget>& stream, int multiprocessors,
                        const TokenInput<BFloat16>& input, const Columns& columns,
                        const TokenOutput<BFloat16>& output, bool in_boxes, int tile) {
  dispatch_quantised_tile<kType>(
      input.weights.out, input.rows, multiprocessors, tile, [&]<class Tile>() {
        const auto multiply = [&](const auto& epilogue) {
          launch_quantised_product<Tile>(stream, multiprocessors, input, columns, epilogue);
        };
        if (!in_boxes) return multiply(output);
        const int cols = Columns::kPairs ? output.half() : output.outputs;
        const TensorMap map = QuantisedProduct<Tile, Columns>::Boxes::map(
            {output.out, input.rows, cols, output.stride});
        if constexpr (Columns::kPairs) {
          multiply(SwigluBoxes{map, input.rows, cols, output.bias});
        } else {
          multiply(StoreBoxes<Activation::kNone>{map, input.rows, cols, output.bias,
                                                 output.accumulate ? output.out : nullptr,
                                                 output.stride});
        }
      });
}

}  // namespace fvlm::FVLM_CUDA_TARGET
