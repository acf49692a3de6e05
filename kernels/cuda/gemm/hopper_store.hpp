// Results of a GEMM for compute capability 9.0 that are stored by TMA: an epilogue that takes
// fragments instead of rows. A warp adds the bias to its fragments and activates them, rounds them
// into boxes in shared memory, with the residual that was loaded there before, and one thread
// stores the boxes while the warp goes on: no thread computes addresses of the result or looks
// where the matrix ends.
//
// It has the same bits as StoreRows (epilogue.hpp).
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

// out = activation(value + bias) + residual, for rows of `out` and of the residual that are 16-byte
// aligned, and columns that are a multiple of 8.
template <Activation kActivation>
struct StoreBoxes {
  static constexpr bool kBoxes = true;

  TensorMap out;  // in boxes of BoxedRows
  int rows;
  int cols;
  const float* bias;         // [cols], 16-byte aligned, or null
  const BFloat16* residual;  // [rows, cols] with a stride of its own, or null; may be out itself
  std::int64_t residual_stride;

  // Values of columns col and col + 1 of a row, before the residual; perhaps beyond the end.
  __device__ void activate_two(int col, float (&two)[2]) const {
    if (bias != nullptr) {
      const auto more = load<2>(bias + min(col, cols - 2));
      two[0] += more[0];
      two[1] += more[1];
    }
#pragma unroll
    for (float& value : two) value = activate<kActivation, BFloat16>(value);
  }
};

// 16 rows of a warp in shared memory, in boxes of 64 or 32 columns. A warp has kBuffers of them, so
// that one is written while another is stored.
template <int kCols>
struct BoxedRows {
  static constexpr int kRows = 16;
  static constexpr int kBoxCols = kCols % kBoxDepth == 0 ? kBoxDepth : kNarrowBoxDepth;
  static constexpr int kPieces = kBoxCols / 8;  // of 16 bytes, of a row of a box
  static constexpr int kBuffers = 2;
  static constexpr int kBytes = kRows * kCols * static_cast<int>(sizeof(BFloat16));
  static_assert(kCols % kBoxCols == 0 && kBytes % 1024 == 0);

  // Offset of the 16 bytes of columns [8 piece, 8 piece + 8), swizzled as boxes are.
  __device__ static int at(int row, int piece) {
    constexpr int kRowsInBanks = 8 / kPieces;
    const int place = piece % kPieces ^ row / kRowsInBanks % kPieces;
    return ((piece / kPieces * kRows + row) * kPieces + place) * 16;
  }
};

// Stores 16 rows from `row0` on, and those 64, 128 ... further, of columns from `col0` on: a warp's
// fragments, by way of its own `scratch`. It has stored `before` times 16 rows, all waited for but
// those of its last buffers.
template <int kRowTiles, int kColTiles, Activation kActivation>
__device__ inline void store_fragments(const FragmentC (&sums)[kRowTiles][kColTiles],
                                       std::byte* scratch, int before, int row0, int col0,
                                       const StoreBoxes<kActivation>& to) {
  using Boxed = BoxedRows<8 * kColTiles>;
  static_assert(kRowTiles <= Boxed::kBuffers);
  const int lane = static_cast<int>(lane_id());
  const auto buffer_of = [&](int i) {
    return scratch + (before + i) % Boxed::kBuffers * Boxed::kBytes;
  };
  if (lane == 0) wait_for_stores<Boxed::kBuffers - kRowTiles>();
  __syncwarp();
  if (to.residual != nullptr) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int at = lane; at < Boxed::kRows * kColTiles; at += 32) {
        const int in_box = at / Boxed::kPieces % Boxed::kRows;
        const int piece =
            at / (Boxed::kRows * Boxed::kPieces) * Boxed::kPieces + at % Boxed::kPieces;
        const int row = row0 + 64 * i + in_box;
        const int col = col0 + 8 * piece;
        const bool inside = row < to.rows && col < to.cols;
        copy_async(buffer_of(i) + Boxed::at(in_box, piece),
                   to.residual + (inside ? row * to.residual_stride + col : 0), inside);
      }
    }
    copy_async_commit();
    copy_async_wait();
    __syncwarp();
  }
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
    std::byte* const buffer = buffer_of(i);
    const int first = row0 + 64 * i;
#pragma unroll
    for (int j = 0; j < kColTiles; ++j) {
#pragma unroll
      for (int r = 0; r < 4; r += 2) {
        const int row = FragmentC::row(r);
        const int col = FragmentC::col(r);
        float two[2] = {sums[i][j].reg[r], sums[i][j].reg[r + 1]};
        to.activate_two(col0 + 8 * j + col, two);
        auto* const place = reinterpret_cast<std::uint32_t*>(buffer + Boxed::at(row, j)) + col / 2;
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
    if (lane == 0) {
      for (int col = 0; col < 8 * kColTiles && first < to.rows; col += Boxed::kBoxCols) {
        if (col0 + col >= to.cols) break;
        store_box(to.out, first, col0 + col, buffer + Boxed::at(0, col / 8));
      }
      commit_stores();  // also if empty: waiting counts groups
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
