// A GEMM for compute capability 9.0: C [m, n] = A [m, depth] B [n, depth]^T by wgmma, fed by the
// tensor memory accelerator.
//
// Blocks are persistent over tiles of kM x kN. One warp copies stages of the depth ahead
// (stages.hpp); two groups of four warps multiply. They take tiles in turns, so that the
// epilogue of one runs under the products of the other, or share each tile by its rows, which may
// then be so many that a stage is read from L2 for twice the products. Warps of the copying group
// may measure the rows for a norm (norm.hpp).
//
// An output's sum has the same order in tiles of every size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper/norm.hpp"
#include "kernels/cuda/gemm/hopper/stages.hpp"
#include "kernels/cuda/gemm/hopper/store.hpp"
#include "kernels/cuda/gemm/result_rows.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <class Tile, class Columns, class Norm>
class HopperProduct {
  using Stages = HopperStages<Tile, Columns>;
  static constexpr int kTileWarps =  // that multiply a stage
      Tile::kGroupWarps * (Tile::kShared ? 2 : 1);
  static constexpr int kMeasuringWarps = Norm::kMeasures ? Tile::kGroupWarps - 1 : 0;

 public:
  struct Barriers {
    typename Stages::Barriers stages;
    SharedBarrier turn[2];  // of each group
    // Of two tiles in turns: the rows are measured, and epilogues have used that.
    SharedBarrier measured[2];
    SharedBarrier taken[2];

    __device__ void init_all() {
      stages.init_all(kTileWarps + kMeasuringWarps);
      for (SharedBarrier& one : turn) init(one, Tile::kGroupWarps);
      if constexpr (Norm::kMeasures) {
        for (SharedBarrier& one : measured) init(one, kMeasuringWarps);
        for (SharedBarrier& one : taken) init(one, kTileWarps);
      }
    }
  };
  struct Measured {
    RowScales<Tile::kM> of_turn[2];
  };

  __device__ HopperProduct(std::byte* shared, Barriers& barriers, const Columns& columns, int m,
                           int n, int depth)
      : HopperProduct(shared, barriers, columns, m, order_of_tiles<Tile::kM, Tile::kN>(m, n),
                      (depth + kBoxDepth - 1) / kBoxDepth) {}

  // Of one thread of the block: copies the stages of its tiles.
  __device__ void copy(const TensorMap& a, const TensorMap& b) const { stages_.copy(a, b, depth_); }

  // Of warp `warp` of those that measure: the rows of the block's tiles.
  __device__ void measure(int warp, const Norm& norm, int depth, Measured& measured) const {
    int count = 0;
    int done = 0;
    for (int tile = first_tile(); tile < depth_.tiles;
         tile += static_cast<int>(gridDim.x), ++done) {
      RowMeasure<Tile::kM, Norm> rows(warp);
      for (int step = 0; step < depth_.steps; ++step, ++count) {
        stages_.wait_for_full(count);
        rows.add(stages_.stage(count));
        __syncwarp();
        stages_.release(count);
      }
      const int turn = done % 2;
      if (done > 1) wait(barriers_.taken[turn], (done / 2 - 1) % 2);
      rows.write(norm, depth, measured.of_turn[turn]);
      __syncwarp();
      if (lane_id() == 0) arrive(barriers_.measured[turn]);
    }
  }

  // Of a group of threads, `group` of two: multiplies every second tile of the block, or half of
  // each.
  template <class Epilogue>
  __device__ void multiply(int group, float* results, const Norm& norm,
                           [[maybe_unused]] const Measured* measured,
                           const Epilogue& epilogue) const {
    const int grid = static_cast<int>(gridDim.x);
    const int row_in_tile = Tile::kShared ? group * Tile::kGroupRows : 0;
    int done = Tile::kShared ? 0 : group;  // tiles of the block before this one
    for (int tile = first_tile() + done * grid; tile < depth_.tiles;
         tile += Tile::kTurns * grid, done += Tile::kTurns) {
      FragmentC sums[Tile::kRowTiles][Tile::kN / 8];
      // A barrier tells two phases apart and no more: so a group asks for its stages only when all
      // those before have been multiplied.
      if (!Tile::kShared && done > 0) wait(barriers_.turn[group], (done - 1) / 2 % 2);
      const int first = uniform(done * depth_.steps);
      for (int step = 0; step < depth_.steps; ++step) {
        stages_.wait_for_full(first + step);
        stages_.multiply(first + step, row_in_tile, step == 0, sums);
      }
      finish_products(sums);
      stages_.release(first + depth_.steps - 1);
      if (!Tile::kShared && lane_id() == 0) arrive(barriers_.turn[1 - group]);
      const int turn = done % 2;
      if constexpr (Norm::kMeasures) wait(barriers_.measured[turn], done / 2 % 2);
      const RowScales<Tile::kM>* const scales =
          Norm::kMeasures ? &measured->of_turn[turn] : nullptr;
      const int first_row = stages_.row_of(tile);
      const NormOfTile<Tile::kM, Norm> norms{norm, scales, first_row};
      const int row =
          first_row + row_in_tile + static_cast<int>(warp_id()) % Tile::kGroupWarps * 16;
      finish(sums, results, row, stages_.column_of(tile), done / Tile::kTurns, norms, epilogue);
      if constexpr (Norm::kMeasures) {
        __syncwarp();
        if (lane_id() == 0) arrive(barriers_.taken[turn]);
      }
    }
    if constexpr (Epilogue::kBoxes) {
      if (lane_id() == 0) wait_for_stores<0>();
    }
  }

 private:
  __device__ HopperProduct(std::byte* shared, Barriers& barriers, const Columns& columns, int m,
                           const TileOrder& order, int steps)
      : stages_(shared, barriers.stages, columns, order),
        barriers_(barriers),
        m_(m),
        depth_{order.tiles(), steps} {}

  __device__ static int first_tile() { return static_cast<int>(blockIdx.x); }

  // Hands a warp's fragments to the epilogue, the first of `before` times as many.
  template <class Norms, class Epilogue>
  __device__ void finish(const FragmentC (&sums)[Tile::kRowTiles][Tile::kN / 8], float* results,
                         int row, int column, int before, const Norms& norms,
                         const Epilogue& epilogue) const {
    if constexpr (Epilogue::kBoxes) {
      store_fragments(sums, reinterpret_cast<std::byte*>(results), before * Tile::kRowTiles, row,
                      Epilogue::kPairs ? column / 2 : column, norms, epilogue);
    } else {
#pragma unroll
      for (int i = 0; i < Tile::kRowTiles; ++i) {
        const FragmentC(&part)[1][Tile::kN / 8] =
            *reinterpret_cast<const FragmentC(*)[1][Tile::kN / 8]>(&sums[i]);
        finish_fragments<Columns::kPairs>(part, results, row + 64 * i, column, m_,
                                          AfterNorm<Norms, Epilogue>{norms, epilogue});
      }
    }
  }

  Stages stages_;
  Barriers& barriers_;
  int m_;
  WholeDepth depth_;
};

template <class Tile, class Columns, class Norm, class Epilogue>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    hopper_product(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                   Columns columns, Norm norm, const __grid_constant__ Epilogue epilogue, int m,
                   int n, int depth) {
  if constexpr (kHopper) {
    using Product = HopperProduct<Tile, Columns, Norm>;
    static_assert(suffice_for_three_groups(Norm::kRegisters));
    check_launch_bounds<Tile::kThreads>();
    auto& barriers = static_shared<typename Product::Barriers>();
    typename Product::Measured* measured = nullptr;
    if constexpr (Norm::kMeasures) measured = &static_shared<typename Product::Measured>();
    std::byte* const shared = Tile::aligned(dynamic_shared<std::byte>());
    if (threadIdx.x == 0) barriers.init_all();
    __syncthreads();
    const Product product(shared, barriers, columns, m, n, depth);
    const int group = group_id<Tile::kGroupThreads>();
    if (group == 2) {
      give_registers<Norm::kRegisters[1]>();
      if (threadIdx.x % Tile::kGroupThreads == 0) {
        product.copy(a, b);
      } else {
        wait_for_previous_kernel();
      }
      if constexpr (Norm::kMeasures) {
        const int warp = static_cast<int>(warp_id()) % 4;
        if (warp > 0) product.measure(warp - 1, norm, depth, *measured);
      }
    } else {
      take_registers<Norm::kRegisters[0]>();
      wait_for_previous_kernel();
      allow_next_kernel();
      product.multiply(group, Tile::results(shared), norm, measured, epilogue);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
