// A GEMM for compute capability 9.0: C [m, n] = A [m, depth] B [n, depth]^T by wgmma, fed by the
// tensor memory accelerator.
//
// Blocks are persistent over tiles of kM x kN. One warp copies stages of 64 of the depth ahead; two
// groups of four warps take tiles in turns, so that the epilogue of one runs under the products of
// the other. A stage is full when its bytes have arrived, and empty when each warp that multiplies
// it, or measures its rows for a norm (hopper_norm.hpp), is done with it.
//
// An output's sum has the same order in tiles of every size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/hopper_columns.hpp"
#include "kernels/cuda/gemm/hopper_norm.hpp"
#include "kernels/cuda/gemm/hopper_store.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <int m, int n, int stages>
struct HopperTile {
  static constexpr int kM = m;
  static constexpr int kN = n;
  static constexpr int kStages = stages;
  static constexpr int kRowTiles = m / 64;
  static constexpr int kGroupThreads = 128;
  static constexpr int kThreads = 3 * kGroupThreads;  // two groups multiply, one copies
  static constexpr int kRowBytes = kBoxDepth * static_cast<int>(sizeof(BFloat16));
  static constexpr int kBytesA = m * kRowBytes;
  static constexpr int kStageBytes = kBytesA + n * kRowBytes;
  static constexpr int kWarps = 8;  // that multiply
  static constexpr int kAlign = 1024;
  static constexpr int kResultFloats = ResultRows<n, true>::kFloats;  // the larger ones
  static constexpr int kSharedBytes =
      kAlign + stages * kStageBytes + kWarps * kResultFloats * static_cast<int>(sizeof(float));
  static_assert(m % 64 == 0 && kStageBytes % kAlign == 0);
  static_assert(kResultFloats * sizeof(float) >= BoxedRows<n>::kBuffers * BoxedRows<n>::kBytes &&
                kResultFloats * sizeof(float) % kAlign == 0);
};

template <class Tile, class Columns, class Norm>
class HopperProduct {
  static constexpr int kGroupWarps = Tile::kGroupThreads / 32;
  static constexpr int kMeasuringWarps = Norm::kMeasures ? kGroupWarps - 1 : 0;

 public:
  struct Barriers {
    SharedBarrier full[Tile::kStages];
    SharedBarrier empty[Tile::kStages];
    SharedBarrier turn[2];  // of each group
    // Of each group's tile: its rows are measured, and its epilogue has used that.
    SharedBarrier measured[2];
    SharedBarrier taken[2];

    __device__ void init_all() {
      for (SharedBarrier& one : full) init(one, 1);
      for (SharedBarrier& one : empty) init(one, kGroupWarps + kMeasuringWarps);
      for (SharedBarrier& one : turn) init(one, kGroupWarps);
      if constexpr (Norm::kMeasures) {
        for (SharedBarrier& one : measured) init(one, kMeasuringWarps);
        for (SharedBarrier& one : taken) init(one, kGroupWarps);
      }
    }
  };
  struct Measured {
    RowScales<Tile::kM> of_group[2];
  };

  __device__ HopperProduct(std::byte* shared, Barriers& barriers, const Columns& columns, int m,
                           int n, int depth)
      : stages_(shared),
        barriers_(barriers),
        columns_of_(columns),
        m_(m),
        steps_((depth + kBoxDepth - 1) / kBoxDepth),
        columns_((n + Tile::kN - 1) / Tile::kN),
        tiles_(columns_ * ((m + Tile::kM - 1) / Tile::kM)) {}

  // Of one thread of the block: copies the stages of its tiles.
  __device__ void copy(const TensorMap& a, const TensorMap& b) {
    int count = 0;
    for (int tile = first_tile(); tile < tiles_; tile += static_cast<int>(gridDim.x)) {
      for (int step = 0; step < steps_; ++step, ++count) {
        const int stage = count % Tile::kStages;
        const int round = count / Tile::kStages;
        if (round > 0) wait(barriers_.empty[stage], (round - 1) % 2);
        SharedBarrier& full = barriers_.full[stage];
        arrive_expecting(full, Tile::kStageBytes);
        copy_box(stage_of(stage), a, row_of(tile), step * kBoxDepth, full);
        std::byte* const to = stage_of(stage) + Tile::kBytesA;
        const int box = columns_of_.template box_rows<Tile::kN>();
        for (int at = 0; at < Tile::kN; at += box) {
          const int row = columns_of_.template row<Tile::kN>(column_of(tile), at);
          copy_box(to + at * Tile::kRowBytes, b, row, step * kBoxDepth, full);
        }
      }
    }
  }

  // Of warp `warp` of those that measure: the rows of the block's tiles.
  __device__ void measure(int warp, const Norm& norm, int depth, Measured& measured) {
    int count = 0;
    int done = 0;
    for (int tile = first_tile(); tile < tiles_; tile += static_cast<int>(gridDim.x), ++done) {
      RowMeasure<Tile::kM, Norm> rows(warp);
      for (int step = 0; step < steps_; ++step, ++count) {
        const int stage = count % Tile::kStages;
        wait(barriers_.full[stage], count / Tile::kStages % 2);
        rows.add(stage_of(stage));
        __syncwarp();
        release(count);
      }
      const int group = done % 2;
      if (done > 1) wait(barriers_.taken[group], (done / 2 - 1) % 2);
      rows.write(norm, depth, measured.of_group[group]);
      __syncwarp();
      if (lane_id() == 0) arrive(barriers_.measured[group]);
    }
  }

  // Of a group of threads, `group` of two: multiplies every second tile of the block.
  template <class Epilogue>
  __device__ void multiply(int group, float* results, const Norm& norm,
                           [[maybe_unused]] const Measured* measured, const Epilogue& epilogue) {
    const int grid = static_cast<int>(gridDim.x);
    int done = group;  // tiles of the block before this one
    for (int tile = first_tile() + group * grid; tile < tiles_; tile += 2 * grid, done += 2) {
      FragmentC sums[Tile::kRowTiles][Tile::kN / 8];
      // A barrier tells two phases apart and no more: so a group asks for its stages only when all
      // those before have been multiplied.
      if (done > 0) wait(barriers_.turn[group], (done - 1) / 2 % 2);
      for (int step = 0; step < steps_; ++step) {
        const int count = done * steps_ + step;
        const int stage = count % Tile::kStages;
        wait(barriers_.full[stage], count / Tile::kStages % 2);
        const std::uint64_t rows = descriptor(stage_of(stage));
        const std::uint64_t cols = descriptor(stage_of(stage) + Tile::kBytesA);
        fence_products();
#pragma unroll
        for (int k = 0; k < kBoxDepth / 16; ++k) {
#pragma unroll
          for (int i = 0; i < Tile::kRowTiles; ++i) {
            multiply_shared<Tile::kN>(sums[i], advance(rows, k) + i * kRowTileUnits,
                                      advance(cols, k), step > 0 || k > 0);
          }
        }
        commit_products();
        wait_for_products<1>();
        if (step > 0) release(count - 1);
      }
      wait_for_products<0>();
      release(done * steps_ + steps_ - 1);
      if (lane_id() == 0) arrive(barriers_.turn[1 - group]);
      if constexpr (Norm::kMeasures) {
        wait(barriers_.measured[group], done / 2 % 2);
        finish(sums, results, tile, done,
               AfterNorm<Tile::kM, Norm, Epilogue>{norm, measured->of_group[group], row_of(tile),
                                                   epilogue});
        __syncwarp();
        if (lane_id() == 0) arrive(barriers_.taken[group]);
      } else {
        finish(sums, results, tile, done, epilogue);
      }
    }
    if constexpr (Epilogue::kBoxes) {
      if (lane_id() == 0) wait_for_stores<0>();
    }
  }

 private:
  // From one 64 rows of A to the next, in a descriptor's units.
  static constexpr std::uint64_t kRowTileUnits = 64 * Tile::kRowBytes / 16;

  __device__ static int first_tile() {
    return static_cast<int>(blockIdx.x);
  }
  __device__ std::byte* stage_of(int stage) const {
    return stages_ + stage * Tile::kStageBytes;
  }
  __device__ int row_of(int tile) const {
    return tile / columns_ * Tile::kM;
  }
  __device__ int column_of(int tile) const {
    return tile % columns_ * Tile::kN;
  }
  template <class Epilogue>
  __device__ void finish(const FragmentC (&sums)[Tile::kRowTiles][Tile::kN / 8], float* results,
                         int tile, int done, const Epilogue& epilogue) const {
    const int row = row_of(tile) + static_cast<int>(warp_id()) % 4 * 16;
    if constexpr (Epilogue::kBoxes) {
      store_fragments(sums, reinterpret_cast<std::byte*>(results), done / 2 * Tile::kRowTiles, row,
                      column_of(tile), epilogue);
    } else {
#pragma unroll
      for (int i = 0; i < Tile::kRowTiles; ++i) {
        const FragmentC(&part)[1][Tile::kN / 8] =
            *reinterpret_cast<const FragmentC(*)[1][Tile::kN / 8]>(&sums[i]);
        finish_fragments<Columns::kPairs>(part, results, row + 64 * i, column_of(tile), m_,
                                          epilogue);
      }
    }
  }
  // A warp is done with the stage of the block's step `count`.
  __device__ void release(int count) {
    if (lane_id() == 0) arrive(barriers_.empty[count % Tile::kStages]);
  }

  std::byte* stages_;
  Barriers& barriers_;
  Columns columns_of_;
  int m_;
  int steps_;
  int columns_;  // of tiles
  int tiles_;
};

template <class Tile, class Columns, class Norm, class Epilogue>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    hopper_product(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                   Columns columns, Norm norm, const __grid_constant__ Epilogue epilogue, int m,
                   int n, int depth) {
  if constexpr (kHopper) {
    using Product = HopperProduct<Tile, Columns, Norm>;
    check_launch_bounds<Tile::kThreads>();
    auto& barriers = static_shared<typename Product::Barriers>();
    typename Product::Measured* measured = nullptr;
    if constexpr (Norm::kMeasures) measured = &static_shared<typename Product::Measured>();
    std::byte* shared = dynamic_shared<std::byte>();
    shared +=
        (Tile::kAlign - reinterpret_cast<std::uintptr_t>(shared) % Tile::kAlign) % Tile::kAlign;
    if (threadIdx.x == 0) barriers.init_all();
    __syncthreads();
    wait_for_previous_kernel();
    allow_next_kernel();
    Product product(shared, barriers, columns, m, n, depth);
    const int group = static_cast<int>(threadIdx.x) / Tile::kGroupThreads;
    if (group == 2) {
      give_registers<Norm::kRegisters[1]>();
      if (threadIdx.x % Tile::kGroupThreads == 0) product.copy(a, b);
      if constexpr (Norm::kMeasures) {
        const int warp = static_cast<int>(warp_id()) % 4;
        if (warp > 0) product.measure(warp - 1, norm, depth, *measured);
      }
    } else {
      take_registers<Norm::kRegisters[0]>();
      float* const results = reinterpret_cast<float*>(shared + Tile::kStages * Tile::kStageBytes) +
                             static_cast<int>(warp_id()) * Tile::kResultFloats;
      product.multiply(group, results, norm, measured, epilogue);
    }
  }
}

template <class Tile, class Columns, class Norm, class Epilogue>
void launch_hopper_product(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                           View<const BFloat16> b, const Columns& columns, const Norm& norm,
                           const Epilogue& epilogue) {
  const std::int64_t tiles =
      (a.rows + Tile::kM - 1) / Tile::kM * ((b.rows + Tile::kN - 1) / Tile::kN);
  launch<hopper_product<Tile, Columns, Norm, Epilogue>>(
      Launch{.grid = std::min<std::int64_t>(tiles, multiprocessors),
             .block = Tile::kThreads,
             .shared_bytes = Tile::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      tensor_map<kTarget>(a, Tile::kM),
      tensor_map<kTarget>(b, columns.template box_rows<Tile::kN>()), columns, norm, epilogue,
      static_cast<int>(a.rows), static_cast<int>(b.rows), static_cast<int>(a.cols));
}

// Calls work.template operator()<Tile>() with the tile for an [m, n] GEMM: `tile` is an index of
// kHopperTiles, or kTileByRule.
template <bool kPairs, class Work>
void dispatch_hopper_tile(std::int64_t m, std::int64_t n, int multiprocessors, int tile,
                          const Work& work) {
  if (tile == kTileByRule) tile = best_hopper_tile(m, n, multiprocessors, kPairs);
  if constexpr (!kPairs) {
    if (tile == 2) return work.template operator()<HopperTile<128, 96, 4>>();
  }
  if (tile == 0) {
    work.template operator()<HopperTile<128, 128, 4>>();
  } else {
    work.template operator()<HopperTile<64, 64, 8>>();
  }
}

template <class Columns, class Norm, class Epilogue>
void multiply_on_hopper(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                        View<const BFloat16> b, const Columns& columns, const Norm& norm,
                        const Epilogue& epilogue, int tile) {
  dispatch_hopper_tile<Columns::kPairs>(a.rows, b.rows, multiprocessors, tile, [&]<class Tile>() {
    launch_hopper_product<Tile>(stream, multiprocessors, a, b, columns, norm, epilogue);
  });
}

// out = activation(a b^T + bias) + residual, as `to` says. In boxes where they can be stored, which
// is with every real model; but not after a norm: what that knows of rows and columns would not fit
// into the registers beside fragments.
template <Activation kActivation, class Norm>
void multiply_linear_on_hopper(Stream<kTarget>& stream, int multiprocessors, View<const BFloat16> a,
                               View<const BFloat16> b, const Norm& norm,
                               const StoreRows<BFloat16, kActivation>& to, int tile) {
  constexpr PlainColumns kColumns{};
  if constexpr (Norm::kMeasures) {
    multiply_on_hopper(stream, multiprocessors, a, b, kColumns, norm, to, tile);
  } else if (!to.aligned || to.cols % 8 != 0) {
    launch_hopper_product<HopperTile<64, 64, 8>>(stream, multiprocessors, a, b, kColumns, norm, to);
  } else {
    dispatch_hopper_tile<false>(a.rows, b.rows, multiprocessors, tile, [&]<class Tile>() {
      using Boxed = BoxedRows<Tile::kN>;
      const View<const BFloat16> out{to.out, a.rows, to.cols, to.stride};
      launch_hopper_product<Tile>(
          stream, multiprocessors, a, b, kColumns, norm,
          StoreBoxes<kActivation>{tensor_map<kTarget>(out, Boxed::kRows, Boxed::kBoxCols),
                                  static_cast<int>(a.rows), to.cols, to.bias, to.residual,
                                  to.residual_stride});
    });
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
