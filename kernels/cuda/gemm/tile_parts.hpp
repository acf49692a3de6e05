// The GEMM of tile_product.hpp for a depth in parts (depth_parts.hpp).
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/operands.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <class Shape, class A, class B, class Epilogue>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    tile_parts(A a, B b, Epilogue epilogue, TileOrder order, DepthInParts depth, SplitSums split,
               int m) {
  check_launch_bounds<Shape::kThreads>();
  const auto unit = static_cast<int>(blockIdx.x);
  const TilePlace place = order.at(depth.tile_of(unit));
  TileProduct<Shape, A, B>::run_parts(a, b, dynamic_shared<std::byte>(), place.row * Shape::kM,
                                      place.column * Shape::kN, m, depth, unit, split, epilogue);
}

// C = A B^T over the whole device, with a given tile shape. Where parts are `spread` each is a
// block's own, which needs `split` of parts.floats(m).
template <class Shape, class A, class B, class Epilogue>
void launch_tile_parts(Stream<kTarget>& stream, const A& a, const B& b, const Epilogue& epilogue,
                       const DepthParts& parts, bool spread, const SplitSums& split, std::int64_t m,
                       std::int64_t n) {
  const TileOrder order =
      order_of_tiles<Shape::kM, Shape::kN>(static_cast<int>(m), static_cast<int>(n));
  assert(!spread ||
         (split.sums != nullptr && order.tiles() * Shape::kThreads / 32 <= SplitSums::kCounters));
  const DepthInParts depth{order.tiles(), parts.steps(), parts.count(), spread};
  launch<tile_parts<Shape, A, B, Epilogue>>(
      Launch{.grid = depth.units(),
             .block = Shape::kThreads,
             .shared_bytes = TileProduct<Shape, A, B>::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      a, b, epilogue, order, depth, split, static_cast<int>(m));
}

// The same with any tile: `tile` is an index of kPartTiles, or kTileByRule.
template <class A, class B, class Epilogue>
void multiply_in_parts(Stream<kTarget>& stream, int multiprocessors, const A& a, const B& b,
                       const Epilogue& epilogue, const DepthParts& parts, const SplitSums& split,
                       std::int64_t m, std::int64_t n, int tile) {
  const auto& choice = kPartTiles[tile == kTileByRule ? best_part_tile(parts, m, n, multiprocessors)
                                                      : static_cast<std::size_t>(tile)];
  const bool spread = choice.spread && parts.can_spread(m);
  const auto launch_shape = [&]<class Shape>() {
    launch_tile_parts<Shape>(stream, a, b, epilogue, parts, spread, split, m, n);
  };
  if (m <= 16) return launch_shape.template operator()<TileShape<16, 64, 64, 4, 1, 4>>();
  if (choice.tile.m == 64)
    return launch_shape.template operator()<TileShape<64, 64, 64, 3, 2, 2>>();
  launch_shape.template operator()<TileShape<128, 128, 64, 3, 2, 4>>();
}

}  // namespace fvlm::FVLM_CUDA_TARGET
