// What GEMMs for compute capability 9.0 (product.hpp, parts.hpp) have in common:
// their tiles, and the stages of 64 of the depth that one warp copies ahead of those that multiply.
//
// A stage is full when its bytes have arrived, and empty when each warp that reads it is done. The
// first stages of B, which are weights, are asked for before the previous kernel has ended.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper/columns.hpp"
#include "kernels/cuda/gemm/hopper/store.hpp"
#include "kernels/cuda/gemm/result_rows.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// kShared: whether the two groups of four warps share a tile by its rows, or take tiles in turns.
template <int m, int n, int stages, bool shared = (m > 128)>
struct HopperTile {
  static constexpr int kM = m;
  static constexpr int kN = n;
  static constexpr int kStages = stages;
  static constexpr bool kShared = shared;
  static constexpr int kTurns = kShared ? 1 : 2;
  static constexpr int kGroupRows = kShared ? m / 2 : m;
  static constexpr int kRowTiles = kGroupRows / 64;
  static constexpr int kGroupThreads = 128;
  static constexpr int kThreads = 3 * kGroupThreads;  // two groups multiply, one copies
  static constexpr int kRowBytes = kBoxDepth * static_cast<int>(sizeof(BFloat16));
  static constexpr int kBytesA = m * kRowBytes;
  static constexpr int kStageBytes = kBytesA + n * kRowBytes;
  static constexpr int kGroupWarps = kGroupThreads / 32;
  static constexpr int kWarps = 2 * kGroupWarps;  // that multiply
  static constexpr int kAlign = 1024;
  static constexpr int kResultFloats = ResultRows<n, true>::kFloats;  // the larger ones
  static constexpr int kSharedBytes =
      kAlign + stages * kStageBytes + kWarps * kResultFloats * static_cast<int>(sizeof(float));
  static_assert(kGroupRows % 64 == 0 && kStageBytes % kAlign == 0);
  static_assert(kResultFloats * sizeof(float) >= BoxedRows<n>::kBuffers * BoxedRows<n>::kBytes &&
                kResultFloats * sizeof(float) % kAlign == 0);

  // The kernel's dynamic shared memory, aligned: stages, and behind them results of warps.
  __device__ static std::byte* aligned(std::byte* dynamic) {
    return dynamic + (kAlign - reinterpret_cast<std::uintptr_t>(dynamic) % kAlign) % kAlign;
  }
  // Of the calling warp.
  __device__ static float* results(std::byte* aligned) {
    return reinterpret_cast<float*>(aligned + stages * kStageBytes) +
           static_cast<int>(warp_id()) * kResultFloats;
  }
};

template <class Tile, class Columns>
class HopperStages {
 public:
  struct Barriers {
    SharedBarrier full[Tile::kStages];
    SharedBarrier empty[Tile::kStages];

    // readers: warps that read a stage.
    __device__ void init_all(int readers) {
      for (SharedBarrier& one : full) init(one, 1);
      for (SharedBarrier& one : empty) init(one, readers);
    }
  };

  __device__ HopperStages(std::byte* shared, Barriers& barriers, const Columns& columns,
                          const TileOrder& order)
      : stages_(shared), barriers_(barriers), columns_(columns), order_(order) {}

  __device__ int row_of(int tile) const { return order_.at(tile).row * Tile::kM; }
  __device__ int column_of(int tile) const { return order_.at(tile).column * Tile::kN; }

  // Of one thread of the block: copies the stages of all its units.
  template <class Depth>
  __device__ void copy(const TensorMap& a, const TensorMap& b, const Depth& depth) const {
    for (auto at = BlockStep::first(depth); at.unit < depth.units() && at.count < Tile::kStages;
         at.next(depth)) {
      begin(b, depth.tile_of(at.unit), at);
    }
    wait_for_previous_kernel();
    for (auto at = BlockStep::first(depth); at.unit < depth.units(); at.next(depth)) {
      const int tile = depth.tile_of(at.unit);
      const int round = at.count / Tile::kStages;
      if (round > 0) {
        wait(barriers_.empty[at.count % Tile::kStages], (round - 1) % 2);
        begin(b, tile, at);
      }
      copy_box(stage(at.count), a, row_of(tile), at.step * kBoxDepth,
               barriers_.full[at.count % Tile::kStages]);
    }
  }

  // The stage of the block's step `count`: rows of A, and behind them of B.
  __device__ std::byte* stage(int count) const {
    return stages_ + count % Tile::kStages * Tile::kStageBytes;
  }
  __device__ void wait_for_full(int count) const {
    wait(barriers_.full[count % Tile::kStages], count / Tile::kStages % 2);
  }
  // A warp is done with it.
  __device__ void release(int count) const {
    if (lane_id() == 0) arrive(barriers_.empty[count % Tile::kStages]);
  }

  // Begins the products of a group's rows of a full stage, which are added to the sums or, of the
  // `first` stage, are the sums; and waits for those of the stage before.
  __device__ void multiply(int count, int row_in_tile, bool first,
                           FragmentC (&sums)[Tile::kRowTiles][Tile::kN / 8]) const {
    const std::uint64_t rows = descriptor(stage(count) + row_in_tile * Tile::kRowBytes);
    const std::uint64_t cols = descriptor(stage(count) + Tile::kBytesA);
    fence_products();
#pragma unroll
    for (int k = 0; k < kBoxDepth / 16; ++k) {
#pragma unroll
      for (int i = 0; i < Tile::kRowTiles; ++i) {
        multiply_shared<Tile::kN>(sums[i], advance(rows, k) + i * kRowTileUnits, advance(cols, k),
                                  !first || k > 0);
      }
    }
    commit_products();
    wait_for_products<1>();
    if (!first) release(count - 1);
  }

 private:
  // From one 64 rows of A to the next, in a descriptor's units.
  static constexpr std::uint64_t kRowTileUnits = 64 * Tile::kRowBytes / 16;

  // Expects all of a stage, and copies B.
  __device__ void begin(const TensorMap& b, int tile, const BlockStep& step) const {
    SharedBarrier& full = barriers_.full[step.count % Tile::kStages];
    arrive_expecting(full, Tile::kStageBytes);
    std::byte* const to = stage(step.count) + Tile::kBytesA;
    const int box = columns_.template box_rows<Tile::kN>();
    for (int column = 0; column < Tile::kN; column += box) {
      copy_box(to + column * Tile::kRowBytes, b,
               columns_.template row<Tile::kN>(column_of(tile), column), step.step * kBoxDepth,
               full);
    }
  }

  std::byte* stages_;
  Barriers& barriers_;
  Columns columns_;
  TileOrder order_;
};

}  // namespace fvlm::FVLM_CUDA_TARGET
