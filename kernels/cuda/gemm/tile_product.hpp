// A block-tiled GEMM: C [m, n] = A [m, depth] B [n, depth]^T, both row-major as activations and
// weights are stored, with a pluggable operand B (tile_operand.hpp) and epilogue (epilogue.hpp). m,
// n and depth need not be multiples of the tile.
//
// A thread block computes a kM x kN tile of C, its warps kWarpsM x kWarpsN parts of it. The main
// loop steps along the depth by kDepth, over a pipeline of kStages shared-memory buffers:
// asynchronous copies fill all but one while tensor cores work on the last. Fragments are loaded
// one mma ahead, across the border of two stages too, so that tensor cores wait neither for shared
// memory nor long at a barrier. The accumulators pass through shared memory once more, so that the
// epilogue reads and writes rows 16 bytes at a time.
//
// An output's sum has the same order in every tile shape: a row's result has the same bits however
// many rows there are. A long depth is in parts (depth_parts.hpp), whose sums are added in order:
// by a block that multiplies all of them, or by the last one of those that multiply one each.
//
// 16-bit elements are multiplied by mma, float by FMAs behind the same interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/epilogue.hpp"
#include "kernels/cuda/gemm/part_sums.hpp"
#include "kernels/cuda/gemm/result_rows.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/gemm/tile_operand.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <int m, int n, int depth, int stages, int warps_m, int warps_n>
struct TileShape {
  static constexpr int kM = m;
  static constexpr int kN = n;
  static constexpr int kDepth = depth;
  static constexpr int kStages = stages;
  static constexpr int kWarpsM = warps_m;
  static constexpr int kWarpsN = warps_n;
  static constexpr int kThreads = 32 * warps_m * warps_n;
  static constexpr int kBlocks = 256 / kThreads;  // at once on an SM, as registers allow
  static constexpr int kWarpRows = m / warps_m;
  static constexpr int kWarpCols = n / warps_n;
  static_assert(kWarpRows % 16 == 0 && kWarpCols % 16 == 0 && depth % 16 == 0 && stages >= 2);
};

template <class Shape, class A, class B>
class TileProduct {
 public:
  using E = typename A::Element;
  static_assert(std::is_same_v<E, typename B::Element>);
  static constexpr bool kTensorCores = sizeof(E) == 2;

  static constexpr int kBytesA = A::template stage_bytes<Shape::kM, Shape::kDepth>();
  static constexpr int kStageBytes = kBytesA + B::template stage_bytes<Shape::kN, Shape::kDepth>();
  static constexpr int kResultBytes = kTensorCores ? Shape::kThreads / 32 *
                                                         ResultRows<Shape::kWarpCols>::kFloats *
                                                         static_cast<int>(sizeof(float))
                                                   : 0;
  static constexpr int kSharedBytes =
      Shape::kStages * kStageBytes > kResultBytes ? Shape::kStages* kStageBytes : kResultBytes;

  // The tile of C that begins at (row0, col0); C has m rows. `shared` has kSharedBytes, and is free
  // for other use only after a __syncthreads(). Waits for the previous kernel.
  template <class Epilogue>
  __device__ static void run(const A& a, const B& b, std::byte* shared, int row0, int col0, int m,
                             int depth, const Epilogue& epilogue) {
    const int end = (depth + Shape::kDepth - 1) / Shape::kDepth;
    Accumulator sums = {};
    Steps(a, b, shared, row0, col0, 0, end).multiply_until(end, sums);
    if (kTensorCores) __syncthreads();  // all are done with the stages
    finish(sums, shared, row0, col0, m, epilogue);
  }

  // The same for a unit of a depth in parts, by tensor cores.
  template <class Epilogue>
  __device__ static void run_parts(const A& a, const B& b, std::byte* shared, int row0, int col0,
                                   int m, const DepthInParts& depth, int unit,
                                   const SplitSums& split, const Epilogue& epilogue) {
    static_assert(kTensorCores && Shape::kDepth == DepthParts::kStep);
    using Meeting = PartSums<kRowTiles, 2 * kColPairs, Shape::kThreads / 32>;
    const int first = depth.first_part(unit);
    Steps steps(a, b, shared, row0, col0, depth.step_of(first), depth.end_step(unit));
    Fragments totals = {};
    for (int part = first; part < depth.end_part(unit); ++part) {
      Fragments sums = {};
      steps.multiply_until(depth.step_of(part + 1), sums);
      Meeting::add(totals.at, sums.at);
    }
    __syncthreads();  // all are done with the stages
    if (depth.spread) {
      const Meeting meeting(split, depth.parts);
      const int tile = depth.tile_of(unit);
      if (!meeting.leave(tile, first, totals.at)) return;
      totals = {};
      meeting.add_all(tile, totals.at);
    }
    finish(totals, shared, row0, col0, m, epilogue);
  }

 private:
  static constexpr int kRowTiles = Shape::kWarpRows / 16;
  static constexpr int kColPairs = Shape::kWarpCols / 16;
  // Without tensor cores a thread computes kRows rows of eight adjacent columns.
  static constexpr int kPieces = Shape::kN / kEpilogueCols;
  static constexpr int kRows = Shape::kM * kPieces / Shape::kThreads;
  static_assert(kTensorCores ||
                (Shape::kThreads % kPieces == 0 && Shape::kM * kPieces % Shape::kThreads == 0));

  static constexpr int kMmaDepth = 16;
  static constexpr int kMmas = Shape::kDepth / kMmaDepth;  // of a stage
  static_assert(!kTensorCores || kMmas % 2 == 0);

  // What a warp multiplies at once.
  struct Operands {
    FragmentA<E> a[kRowTiles];
    FragmentB<E> b[kColPairs][2];
  };
  struct Fragments {
    FragmentC at[kRowTiles][2 * kColPairs];
  };
  struct Sums {
    float at[kRows][kEpilogueCols];
  };
  using Accumulator = std::conditional_t<kTensorCores, Fragments, Sums>;

  __device__ static int warp_row() {
    return static_cast<int>(warp_id()) / Shape::kWarpsN * Shape::kWarpRows;
  }
  __device__ static int warp_col() {
    return static_cast<int>(warp_id()) % Shape::kWarpsN * Shape::kWarpCols;
  }
  __device__ static int thread_row() { return static_cast<int>(thread_rank()) / kPieces * kRows; }
  __device__ static int thread_col() {
    return static_cast<int>(thread_rank()) % kPieces * kEpilogueCols;
  }

  // Steps [first, end) of the depth: their stages, and the operands that are multiplied next.
  class Steps {
   public:
    // Waits for the previous kernel.
    __device__ Steps(const A& a, const B& b, std::byte* shared, int row0, int col0, int first,
                     int end)
        : a_(a), b_(b), shared_(shared), rows_(a, row0), cols_(b, col0), step_(first), end_(end) {
      const int filled = first + Shape::kStages - 1;
      for (int step = first; step < min(filled, end); ++step) fetch_b(step);
      wait_for_previous_kernel();  // weights do not depend on it
      allow_next_kernel();
      for (int step = first; step < filled; ++step) {
        if (step < end) fetch_a(step);
        copy_async_commit();
      }
      next_stage();
      if constexpr (kTensorCores) load(operands_[0], a_, b_, stage_of(first), 0);
    }

    // Adds the products of those before `until`.
    __device__ void multiply_until(int until, Accumulator& sums) {
      for (; step_ < until; ++step_) {
        fetch_ahead();
        if constexpr (kTensorCores) {
#pragma unroll
          for (int k = 0; k < kMmas; ++k) {
            if (k + 1 < kMmas) {
              load(operands_[(k + 1) % 2], a_, b_, stage_of(step_), (k + 1) * kMmaDepth);
            } else if (step_ + 1 < end_) {
              next_stage();
              load(operands_[0], a_, b_, stage_of(step_ + 1), 0);
            }
            multiply(sums, operands_[k % 2]);
          }
        } else {
          multiply(sums, a_, b_, stage_of(step_));
          next_stage();
        }
      }
    }

   private:
    struct None {};

    __device__ std::byte* stage_of(int step) const {
      return shared_ + step % Shape::kStages * kStageBytes;
    }
    __device__ void fetch_a(int step) const {
      rows_.fetch(a_, stage_of(step), step * Shape::kDepth);
    }
    __device__ void fetch_b(int step) const {
      cols_.fetch(b_, stage_of(step) + kBytesA, step * Shape::kDepth);
    }
    __device__ void fetch_ahead() const {
      const int step = step_ + Shape::kStages - 1;
      if (step < end_) {
        fetch_a(step);
        fetch_b(step);
      }
      copy_async_commit();  // also if empty: waiting counts groups
    }
    // The next stage has arrived, and all are done with the one that is filled next.
    __device__ static void next_stage() {
      copy_async_wait<Shape::kStages - 2>();
      __syncthreads();
    }

    const A& a_;
    const B& b_;
    std::byte* shared_;
    typename A::template Cursor<Shape::kM, Shape::kDepth, Shape::kThreads> rows_;
    typename B::template Cursor<Shape::kN, Shape::kDepth, Shape::kThreads> cols_;
    int step_;
    int end_;
    std::conditional_t<kTensorCores, Operands, None> operands_[2];
  };

  __device__ static void load(Operands& operands, const A& a, const B& b, const std::byte* stage,
                              int at) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      a.template load_a<Shape::kM, Shape::kDepth>(operands.a[i], stage, warp_row() + i * 16, at);
    }
#pragma unroll
    for (int j = 0; j < kColPairs; ++j) {
      b.template load_b<Shape::kN, Shape::kDepth>(operands.b[j], stage + kBytesA,
                                                  warp_col() + j * 16, at);
    }
  }

  __device__ static void multiply(Fragments& sums, const Operands& operands) {
#pragma unroll
    for (int j = 0; j < 2 * kColPairs; ++j) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        mma(sums.at[i][j], operands.a[i], operands.b[j / 2][j % 2]);
      }
    }
  }

  __device__ static void multiply(Sums& sums, const A& a, const B& b, const std::byte* stage) {
    constexpr int kPiece = 4;
#pragma unroll
    for (int piece = 0; piece < Shape::kDepth / kPiece; ++piece) {
      Vec16<E> rows[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        rows[i] = a.template load_piece<Shape::kDepth>(stage, thread_row() + i, piece);
      }
#pragma unroll
      for (int j = 0; j < kEpilogueCols; ++j) {
        const auto col =
            b.template load_piece<Shape::kDepth>(stage + kBytesA, thread_col() + j, piece);
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
          for (int k = 0; k < kPiece; ++k) sums.at[i][j] += rows[i][k] * col[k];
        }
      }
    }
  }

  template <class Epilogue>
  __device__ static void finish(const Fragments& sums, std::byte* shared, int row0, int col0, int m,
                                const Epilogue& epilogue) {
    auto* const scratch = reinterpret_cast<float*>(shared) +
                          static_cast<int>(warp_id()) * ResultRows<Shape::kWarpCols>::kFloats;
    finish_fragments(sums.at, scratch, row0 + warp_row(), col0 + warp_col(), m, epilogue);
  }

  template <class Epilogue>
  __device__ static void finish(Sums& sums, std::byte*, int row0, int col0, int m,
                                const Epilogue& epilogue) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int row = row0 + thread_row() + i;
      if (row < m) epilogue(row, col0 + thread_col(), sums.at[i]);
    }
  }
};

template <class Shape, class A, class B, class Epilogue>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    tile_product(A a, B b, Epilogue epilogue, TileOrder order, int m, int depth) {
  check_launch_bounds<Shape::kThreads>();
  const TilePlace place = order.at(static_cast<int>(blockIdx.x));
  TileProduct<Shape, A, B>::run(a, b, dynamic_shared<std::byte>(), place.row * Shape::kM,
                                place.column * Shape::kN, m, depth, epilogue);
}

// For operands whose rows cannot be copied 16 bytes at a time, as those of no real model.
template <class E>
using RaggedTile = std::conditional_t<sizeof(E) == 4, TileShape<64, 64, 16, 2, 4, 2>,
                                      TileShape<32, 64, 64, 4, 2, 2>>;

// Calls work.template operator()<Shape>() with the tile shape for an [m, n] GEMM: `tile` is an
// index of kTileChoices, or kTileByRule.
template <class E, class Work>
void dispatch_tile(std::int64_t m, std::int64_t n, int multiprocessors, int tile, Work&& work) {
  if constexpr (sizeof(E) == 4) {
    if (m <= 16) return work.template operator()<TileShape<16, 64, 16, 2, 1, 4>>();
    return work.template operator()<TileShape<64, 64, 16, 2, 4, 2>>();
  } else {
    if (m <= 16) return work.template operator()<TileShape<16, 64, 64, 4, 1, 4>>();
    if (n <= 32) return work.template operator()<TileShape<64, 32, 32, 4, 4, 1>>();
    switch (tile == kTileByRule ? static_cast<int>(best_tile(m, n, multiprocessors)) : tile) {
      case 0:
        return work.template operator()<TileShape<128, 128, 32, 3, 2, 2>>();
      case 1:
        return work.template operator()<TileShape<128, 64, 32, 4, 2, 2>>();
      case 2:
        return work.template operator()<TileShape<64, 64, 32, 4, 2, 2>>();
      default:
        return work.template operator()<TileShape<32, 64, 64, 4, 2, 2>>();
    }
  }
}

// C = A B^T over the whole device, with a given tile shape.
template <class Shape, class A, class B, class Epilogue>
void launch_tile_product(Stream<kTarget>& stream, const A& a, const B& b, const Epilogue& epilogue,
                         std::int64_t m, std::int64_t n, std::int64_t depth) {
  const TileOrder order =
      order_of_tiles<Shape::kM, Shape::kN>(static_cast<int>(m), static_cast<int>(n));
  launch<tile_product<Shape, A, B, Epilogue>>(
      Launch{.grid = order.tiles(),
             .block = Shape::kThreads,
             .shared_bytes = TileProduct<Shape, A, B>::kSharedBytes,
             .stream = stream,
             .overlap_previous = true},
      a, b, epilogue, order, static_cast<int>(m), static_cast<int>(depth));
}

}  // namespace fvlm::FVLM_CUDA_TARGET
