// Launches GEMMs with int8 or int4 weights for compute capability 9.0 (quantised_product.hpp): with
// which tile, and how results are stored.
#pragma once

#include <algorithm>
#include <cassert>

#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/hopper/quantised_product.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/launch.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// In steps of one stage.
template <class Tile>
WholeDepth whole_depth(const TokenInput<BFloat16>& input) {
  const DeviceMatrix& w = input.weights;
  return {order_of_tiles<Tile::kTokens, Tile::kOutputs>(input.rows, w.out).tiles(),
          (w.in + Tile::kDepth - 1) / Tile::kDepth};
}

template <class Tile, class Columns, class Depth, class Epilogue>
void launch_quantised_product(Stream<kTarget>& stream, int multiprocessors,
                              const TokenInput<BFloat16>& input, const Columns& columns,
                              const Depth& depth, const SplitSums& split,
                              const Epilogue& epilogue) {
  const DeviceMatrix& w = input.weights;
  const View<const BFloat16> words{reinterpret_cast<const BFloat16*>(w.weight), w.out,
                                   w.row_bytes / 2, w.row_bytes / 2};
  const View<const BFloat16> x{input.x, input.rows, w.in, input.stride};
  launch<quantised_product<Tile, Columns, Depth, Epilogue>>(
      Launch{.grid = std::min(depth.units(), multiprocessors),
             .block = Tile::kThreads,
             .shared_bytes = Tile::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      tensor_map<kTarget>(words, columns.template box_rows<Tile::kOutputs>(), kNarrowBoxDepth),
      tensor_map<kTarget>(x, Tile::kTokens), columns, w, depth, split, epilogue, input.rows);
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

// What stores results in boxes, of [tokens, cols].
template <class Tile, class Columns>
auto boxes_of(const TokenInput<BFloat16>& input, const TokenOutput<BFloat16>& output) {
  const int cols = Columns::kPairs ? output.half() : output.outputs;
  const TensorMap map = TokenBoxes<Columns::kPairs, Tile::kRowTiles>::map(
      {output.out, input.rows, cols, output.stride});
  if constexpr (Columns::kPairs) {
    return SwigluBoxes{map, input.rows, cols, output.bias};
  } else {
    return StoreBoxes<Activation::kNone>{
        map,          input.rows, cols, output.bias, output.accumulate ? output.out : nullptr,
        output.stride};
  }
}

// Results to an epilogue of rows, or in boxes.
template <WeightType kType, class Columns>
void multiply_quantised(Stream<kTarget>& stream, int multiprocessors,
                        const TokenInput<BFloat16>& input, const Columns& columns,
                        const TokenOutput<BFloat16>& output, bool in_boxes, int tile) {
  dispatch_quantised_tile<kType>(
      input.weights.out, input.rows, multiprocessors, tile, [&]<class Tile>() {
        const auto multiply = [&](const auto& epilogue) {
          launch_quantised_product<Tile>(stream, multiprocessors, input, columns,
                                         whole_depth<Tile>(input), {}, epilogue);
        };
        if (in_boxes) {
          multiply(boxes_of<Tile, Columns>(input, output));
        } else {
          multiply(output);
        }
      });
}

// In boxes, where the depth is divided: `tile` is an index of kQuantisedParts, or kTileByRule. Sums
// of two parts fit into the registers of this tile, not of a larger one.
template <WeightType kType>
void multiply_quantised_parts(Stream<kTarget>& stream, int multiprocessors,
                              const TokenInput<BFloat16>& input, const DepthParts& parts,
                              const SplitSums& split, const TokenOutput<BFloat16>& output,
                              int tile) {
  using Tile = QuantisedTile<kType, 128, 64>;
  const auto [tiles, steps] = whole_depth<Tile>(input);
  const bool spread = spreads_parts(parts, input.rows, tiles, multiprocessors, tile);
  assert(!spread || (split.sums != nullptr && tiles <= SplitSums::kCounters));
  launch_quantised_product<Tile>(stream, multiprocessors, input, PlainColumns{},
                                 DepthInParts{tiles, steps, parts.count(), spread}, split,
                                 boxes_of<Tile, PlainColumns>(input, output));
}

}  // namespace fvlm::FVLM_CUDA_TARGET
