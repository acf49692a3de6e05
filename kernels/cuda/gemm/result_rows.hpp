// From fragments to rows of results, as epilogues want them (epilogue.hpp).
#pragma once

#include "kernels/cuda/gemm/epilogue.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// A warp's accumulators on their way to the epilogue: 16 rows of float32 in shared memory. Rows are
// padded and 16-byte pieces exchanged so that neither the stores of fragments nor the loads of
// eight adjacent results have bank conflicts.
template <int kCols, bool kPairs = false>
struct ResultRows {
  static constexpr int kStride = kCols + (kPairs ? 16 : 8);
  static constexpr int kFloats = 16 * kStride;

  __device__ static int at(int row, int col) {
    return row * kStride + (col ^ ((col / 32 ^ row) % 2 * 4));
  }
};

// Hands a warp's accumulators, which begin at (row0, col0) of a matrix with m rows, to the
// epilogue, by way of its own `scratch` (ResultRows). With kPairs a fragment's columns are the
// first of pairs, and its partner's, half of all further, the second: the epilogue gets them side
// by side.
template <bool kPairs = false, int kRowTiles, int kColTiles, class Epilogue>
__device__ inline void finish_fragments(const FragmentC (&sums)[kRowTiles][kColTiles],
                                        float* scratch, int row0, int col0, int m,
                                        const Epilogue& epilogue) {
  using Rows = ResultRows<8 * kColTiles, kPairs>;
  static_assert(kEpilogueCols == 8);  // those of a fragment
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
      const int row = FragmentC::row(r);
      if constexpr (kPairs) {
#pragma unroll
        for (int j = 0; j < kColTiles / 2; ++j) {
          const float* const first = sums[i][j].reg + r;
          const float* const second = sums[i][j + kColTiles / 2].reg + r;
          store(scratch + Rows::at(row, 2 * (j * 8 + FragmentC::col(r))),
                Vec<float, 4>{{first[0], second[0], first[1], second[1]}});
        }
      } else {
#pragma unroll
        for (int j = 0; j < kColTiles; ++j) {
          const float* const two = sums[i][j].reg + r;
          store(scratch + Rows::at(row, j * 8 + FragmentC::col(r)),
                Vec<float, 2>{{two[0], two[1]}});
        }
      }
    }
    __syncwarp();
    for (int at = static_cast<int>(lane_id()); at < 16 * kColTiles; at += 32) {
      const int in_tile = at / kColTiles;
      const int row = row0 + i * 16 + in_tile;
      const int piece = at % kColTiles * kEpilogueCols;
      float values[kEpilogueCols];
#pragma unroll
      for (int half = 0; half < kEpilogueCols; half += 4) {
        const auto four = load<4>(scratch + Rows::at(in_tile, piece + half));
#pragma unroll
        for (int k = 0; k < 4; ++k) values[half + k] = four[k];
      }
      if (row < m) epilogue(row, col0 + piece, values);
    }
    __syncwarp();
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
