// Results of a GEMM for compute capability 9.0 that are stored by TMA: epilogues that take
// fragments instead of rows. A warp does to its fragments what follows the product, rounds them
// into boxes in shared memory, with the residual that was loaded there before, and one thread
// stores the boxes while the warp goes on: no thread computes addresses of the result or looks
// where the matrix ends.
//
// They have the same bits as StoreRows (epilogue.hpp) and TokenOutput (token_product.hpp).
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Adds those of columns col and col + 1, of which there are `cols`, an even number, to two values;
// beyond the end any. `bias` is 8-byte aligned, or null.
__device__ inline void add_bias(const float* bias, int col, int cols, float (&two)[2]) {
  if (bias == nullptr) return;
  const auto more = load<2>(bias + min(col, cols - 2));
  two[0] += more[0];
  two[1] += more[1];
}

// out = activation(value + bias) + residual, for rows of `out` and of the residual that are 16-byte
// aligned, and columns that are a multiple of 8.
template <Activation kActivation>
struct StoreBoxes {
  static constexpr bool kBoxes = true;
  static constexpr bool kPairs = false;

  TensorMap out;  // in boxes of BoxedRows
  int rows;
  int cols;
  const float* bias;         // [cols], 16-byte aligned, or null
  const BFloat16* residual;  // [rows, cols] with a stride of its own, or null; may be out itself
  std::int64_t residual_stride;

  __device__ static float activated(float value) { return activate<kActivation, BFloat16>(value); }
  // Values of columns col and col + 1 of a row, before the residual; perhaps beyond the end.
  __device__ void finish(int col, float (&two)[2]) const {
    add_bias(bias, col, cols, two);
#pragma unroll
    for (float& value : two) value = activated(value);
  }
};

// out = SiLU(gate + bias) * (up + bias), of columns in pairs (columns.hpp), for rows as
// above.
struct SwigluBoxes {
  static constexpr bool kBoxes = true;
  static constexpr bool kPairs = true;

  TensorMap out;
  int rows;
  int cols;
  const float* bias;  // [2, cols], or null
  static constexpr const BFloat16* residual = nullptr;
  static constexpr std::int64_t residual_stride = 0;

  __device__ static float combined(float gate, float up) { return silu(gate) * up; }
  __device__ void finish(int col, float (&gate)[2], float (&up)[2]) const {
    add_bias(bias, col, cols, gate);
    add_bias(bias == nullptr ? nullptr : bias + cols, col, cols, up);
#pragma unroll
    for (int i = 0; i < 2; ++i) gate[i] = combined(gate[i], up[i]);
  }
};

// Rows of a tile's results in shared memory, in boxes of 64 or 32 columns.
template <int rows, int cols>
struct Boxed {
  static constexpr int kRows = rows;
  static constexpr int kBoxCols = cols % kBoxDepth == 0 ? kBoxDepth : kNarrowBoxDepth;
  static constexpr int kPieces = kBoxCols / 8;  // of 16 bytes, of a row of a box
  static constexpr int kBytes = rows * cols * static_cast<int>(sizeof(BFloat16));
  static_assert(cols % kBoxCols == 0 && kBytes % 1024 == 0);

  // Offset of the 16 bytes of columns [8 piece, 8 piece + 8), swizzled as boxes are.
  __device__ static int at(int row, int piece) {
    constexpr int kRowsInBanks = 8 / kPieces;
    const int place = piece % kPieces ^ row / kRowsInBanks % kPieces;
    return ((piece / kPieces * kRows + row) * kPieces + place) * 16;
  }

  // The map of a matrix for such boxes.
  static TensorMap map(View<BFloat16> matrix) {
    return tensor_map<kTarget>(View<const BFloat16>(matrix), kRows, kBoxCols);
  }

  // Begins to copy what `to` adds to rows from row0 and columns from col0 on, by kThreads threads
  // of which this is number `thread`. A group of copy_async().
  template <int kThreads, class To>
  __device__ static void fetch_residual(std::byte* buffer, int thread, int row0, int col0,
                                        const To& to) {
    // A group's threads have few pieces each, and no registers for the addresses of all.
    [[maybe_unused]] constexpr int kAtOnce = kThreads == 32 ? 8 : 1;
#pragma unroll kAtOnce
    for (int at_piece = thread; at_piece < kRows * cols / 8; at_piece += kThreads) {
      const int in_box = at_piece / kPieces % kRows;
      const int piece = at_piece / (kRows * kPieces) * kPieces + at_piece % kPieces;
      const int row = row0 + in_box;
      const int col = col0 + 8 * piece;
      const bool inside = row < to.rows && col < to.cols;
      copy_async(buffer + at(in_box, piece),
                 to.residual + (inside ? row * to.residual_stride + col : 0), inside);
    }
    copy_async_commit();
  }

  // Stores the boxes of which there is a part in the result, as a group. By one thread.
  template <class To>
  __device__ static void store_all(const std::byte* buffer, int row0, int col0, const To& to) {
    for (int col = 0; col < cols && row0 < to.rows; col += kBoxCols) {
      if (col0 + col >= to.cols) break;
      store_box(to.out, row0, col0 + col, buffer + at(0, col / 8));
    }
    commit_stores();  // also if empty: waiting counts groups
  }
};

// 16 rows of a warp. It has kBuffers of them, so that one is written while another is stored.
template <int kCols>
struct BoxedRows : Boxed<16, kCols> {
  static constexpr int kBuffers = 2;
};

// Stores 16 rows from `row0` on, and those 64, 128 ... further, of results from column `col0` on: a
// warp's fragments, by way of its own `scratch`, once `norm` (norm.hpp) is done to them. The
// warp has stored `before` times 16 rows, all waited for but those of its last buffers.
template <int kRowTiles, int kColTiles, class Norm, class To>
__device__ inline void store_fragments(const FragmentC (&sums)[kRowTiles][kColTiles],
                                       std::byte* scratch, int before, int row0, int col0,
                                       const Norm& norm, const To& to) {
  constexpr int kCols = To::kPairs ? kColTiles / 2 : kColTiles;  // of eight results
  using Rows = BoxedRows<8 * kCols>;
  static_assert(kRowTiles <= Rows::kBuffers);
  const int lane = static_cast<int>(lane_id());
  const auto buffer_of = [&](int i) {
    return scratch + (before + i) % Rows::kBuffers * Rows::kBytes;
  };
  if (lane == 0) wait_for_stores<Rows::kBuffers - kRowTiles>();
  __syncwarp();
  if (to.residual != nullptr) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      Rows::template fetch_residual<32>(buffer_of(i), lane, row0 + 64 * i, col0, to);
    }
    copy_async_wait();
    __syncwarp();
  }
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
    std::byte* const buffer = buffer_of(i);
    const int first = row0 + 64 * i;
#pragma unroll
    for (int j = 0; j < kCols; ++j) {
#pragma unroll
      for (int r = 0; r < 4; r += 2) {
        const int in_tile = 8 * j + FragmentC::col(r);
        const auto of_row = norm.of_row(first + FragmentC::row(r));
        float two[2] = {sums[i][j].reg[r], sums[i][j].reg[r + 1]};
        norm.apply(of_row, col0 + in_tile, two);
        if constexpr (To::kPairs) {
          const float* const others = sums[i][j + kCols].reg + r;
          float up[2] = {others[0], others[1]};
          norm.apply(of_row, col0 + in_tile, up);
          to.finish(col0 + in_tile, two, up);
        } else {
          to.finish(col0 + in_tile, two);
        }
        auto* const place =
            reinterpret_cast<std::uint32_t*>(buffer + Rows::at(FragmentC::row(r), j)) +
            FragmentC::col(r) / 2;
        if (to.residual != nullptr) {
          const Pair more = unpack<BFloat16>(load<1>(place)[0]);
          two[0] += more.first;
          two[1] += more.second;
        }
        store(place, Vec<std::uint32_t, 1>{{pack<BFloat16>(two[0], two[1])}});
      }
    }
    fence_async_proxy();
    __syncwarp();
    if (lane == 0) Rows::store_all(buffer, first, col0, to);
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
