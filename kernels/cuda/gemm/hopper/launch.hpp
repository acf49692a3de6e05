// Launches GEMMs for compute capability 9.0 (product.hpp): with which tile, and how results
// are stored.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/epilogue.hpp"
#include "kernels/cuda/gemm/hopper/parts.hpp"
#include "kernels/cuda/gemm/hopper/product.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/primitives/launch.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <class Tile, class Columns, class Norm, class Epilogue>
void launch_hopper_product(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                           View<const BFloat16> b, const Columns& columns, const Norm& norm,
                           const Epilogue& epilogue) {
  const int m = static_cast<int>(a.rows);
  const int n = static_cast<int>(b.rows);
  launch<hopper_product<Tile, Columns, Norm, Epilogue>>(
      Launch{.grid = std::min(order_of_tiles<Tile::kM, Tile::kN>(m, n).tiles(), multiprocessors),
             .block = Tile::kThreads,
             .shared_bytes = Tile::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      tensor_map<kTarget>(a, Tile::kM),
      tensor_map<kTarget>(b, columns.template box_rows<Tile::kN>()), columns, norm, epilogue, m, n,
      static_cast<int>(a.cols));
}

// Calls work.template operator()<Tile>() with the tile for an [m, n] GEMM: `tile` is an index of
// kHopperTiles, or kTileByRule. Columns in pairs have the first kHopperPairTiles; without kLargest
// the largest is replaced.
template <bool kPairs, bool kLargest = true, class Work>
void dispatch_hopper_tile(std::int64_t m, std::int64_t n, int multiprocessors, int tile,
                          const Work& work) {
  if (tile == kTileByRule) tile = best_hopper_tile(m, n, multiprocessors, kPairs);
  if constexpr (!kPairs) {
    if (tile == 3) return work.template operator()<HopperTile<128, 96, 4>>();
  }
  if constexpr (kLargest) {
    if (tile == 2) return work.template operator()<HopperTile<256, 128, 3>>();
  }
  if (tile == 1) return work.template operator()<HopperTile<64, 64, 8>>();
  work.template operator()<HopperTile<128, 128, 4>>();
}

template <class Columns, class Norm, class Epilogue>
void multiply_on_hopper(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                        View<const BFloat16> b, const Columns& columns, const Norm& norm,
                        const Epilogue& epilogue, int tile) {
  dispatch_hopper_tile<Columns::kPairs>(a.rows, b.rows, multiprocessors, tile, [&]<class Tile>() {
    launch_hopper_product<Tile>(stream, multiprocessors, a, b, columns, norm, epilogue);
  });
}

// The same where the depth is divided: `tile` is an index of kHopperParts, or kTileByRule.
template <class Epilogue>
void multiply_parts_on_hopper(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                              View<const BFloat16> b, const DepthParts& parts,
                              const SplitSums& split, const Epilogue& epilogue, int tile) {
  const TileOrder order = order_of_tiles<PartsTile::kM, PartsTile::kN>(static_cast<int>(a.rows),
                                                                       static_cast<int>(b.rows));
  const bool spread = spreads_parts(parts, a.rows, order.tiles(), multiprocessors, tile);
  assert(!spread || split.sums != nullptr);
  const DepthInParts depth{order.tiles(), parts.steps(), parts.count(), spread};
  launch<hopper_parts<Epilogue>>(Launch{.grid = std::min(depth.units(), multiprocessors),
                                        .block = PartsTile::kThreads,
                                        .shared_bytes = PartsTile::kSharedBytes,
                                        .stream = stream,
                                        .overlap_previous = true},
                                 tensor_map<kTarget>(a, PartsTile::kM),
                                 tensor_map<kTarget>(b, PartsTile::kN), order, depth, split,
                                 epilogue);
}

// out = activation(a b^T + bias) + residual, as `to` says: in boxes where they can be stored, which
// is with every real model; but not after a layer norm: what that knows of rows and columns would
// not fit into the registers beside fragments. `split` as LinearKernels::split_floats() says.
template <Activation kActivation, class Norm>
void multiply_linear_on_hopper(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                               View<const BFloat16> b, const Norm& norm,
                               const StoreRows<BFloat16, kActivation>& to, const SplitSums& split,
                               int tile) {
  constexpr PlainColumns kColumns{};
  if constexpr (Norm::kMeasures) {
    dispatch_hopper_tile<false, false>(a.rows, b.rows, multiprocessors, tile, [&]<class Tile>() {
      launch_hopper_product<Tile>(stream, multiprocessors, a, b, kColumns, norm, to);
    });
  } else if (!to.aligned || to.cols % 8 != 0) {
    launch_hopper_product<HopperTile<64, 64, 8>>(stream, multiprocessors, a, b, kColumns, norm, to);
  } else {
    const auto boxes = [&]<class Tile>() {
      return StoreBoxes<kActivation>{BoxedRows<Tile::kN>::map({to.out, a.rows, to.cols, to.stride}),
                                     static_cast<int>(a.rows),
                                     to.cols,
                                     to.bias,
                                     to.residual,
                                     to.residual_stride};
    };
    if (const DepthParts parts(b.rows, b.cols); parts.count() > 1) {
      return multiply_parts_on_hopper(stream, multiprocessors, a, b, parts, split,
                                      boxes.template operator()<PartsTile>(), tile);
    }
    dispatch_hopper_tile<false>(a.rows, b.rows, multiprocessors, tile, [&]<class Tile>() {
      launch_hopper_product<Tile>(stream, multiprocessors, a, b, kColumns, norm,
                                  boxes.template operator()<Tile>());
    });
  }
}

// out [rows, cols] = SiLU(gate) * up of a b^T + bias, where b and bias are of gate and then of up.
template <class Norm>
void multiply_swiglu_on_hopper(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                               View<const BFloat16> b, const PairedColumns& columns,
                               const Norm& norm, const float* bias, View<BFloat16> out, int tile) {
  dispatch_hopper_tile<true>(a.rows, b.rows, multiprocessors, tile, [&]<class Tile>() {
    launch_hopper_product<Tile>(
        stream, multiprocessors, a, b, columns, norm,
        SwigluBoxes{BoxedRows<Tile::kN / 2>::map(out), static_cast<int>(out.rows),
                    static_cast<int>(out.cols), bias});
  });
}

}  // namespace fvlm::FVLM_CUDA_TARGET
