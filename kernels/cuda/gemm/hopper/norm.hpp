// Norms of the rows of A that are folded into a GEMM for compute capability 9.0. The weights of the
// norm are multiplied into B when a model is loaded (rowwise/fold_norm.cu), so that A is copied as
// it is, and what is left of the norm comes last, a number or two for each row:
//   RMS norm     sum / rms
//   layer norm   (sum - mean * column_sums) / deviation, its shift in the bias
// Warps of the copying group that copy nothing compute these: they read each stage of A beside the
// products. So no pass over memory is the norm's own, and no rounding of normalised rows.
//
// Which sums a lane adds, and in which order, follows from the depth alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/epilogue.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/row_access.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// What becomes of the sums of a row; with the registers of a thread that multiplies, and of one
// that copies or measures.
struct NoNorm {
  static constexpr bool kMeasures = false;
  static constexpr int kRegisters[2] = {232, 40};
};
struct RmsOfRows {
  static constexpr bool kMeasures = true;
  static constexpr bool kCentred = false;
  static constexpr int kRegisters[2] = {208, 88};

  float eps;
};
struct DeviationOfRows {
  static constexpr bool kMeasures = true;
  static constexpr bool kCentred = true;
  static constexpr int kRegisters[2] = {216, 72};

  float eps;
  const float* column_sums;  // [columns], 16-byte aligned: of a row of B
  int columns;
};

// What the epilogue of a tile of kM rows has to know of each.
template <int kM>
struct RowScales {
  float scale[kM];
  float mean[kM];  // if it is subtracted
};

// The sums of a tile's rows that one of kWarps warps adds up: eight lanes a row.
template <int kM, class Norm>
class RowMeasure {
  static constexpr int kPieces = kBoxDepth / 8;  // of 16 bytes, of a row of a stage
  static constexpr int kRowsAtOnce = 32 / kPieces;

 public:
  static constexpr int kWarps = 3;

  __device__ explicit RowMeasure(int warp)
      : row_(warp * kRowsAtOnce + static_cast<int>(lane_id()) / kPieces),
        piece_(static_cast<int>(lane_id()) % kPieces) {}

  // A stage of A, swizzled: the same inputs of every row for a lane, wherever the row is.
  __device__ void add(const std::byte* stage) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int row = row_of(i);
      if (kM % kStep != 0 && row >= kM) break;
      const auto pairs = load16(reinterpret_cast<const std::uint32_t*>(
          stage + row * kPieces * 16 + (piece_ ^ row % kPieces) * 16));
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const Pair two = unpack<BFloat16>(pairs[k]);
        if (Norm::kCentred) sums_[i] += two.first + two.second;
        squares_[i] = multiply_add(two.first, two.first, squares_[i]);
        squares_[i] = multiply_add(two.second, two.second, squares_[i]);
      }
    }
  }

  __device__ void write(const Norm& norm, int depth, RowScales<kM>& to) const {
    const float share = 1.0F / static_cast<float>(depth);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float square = warp_sum<kPieces>(squares_[i]) * share;
      float mean = 0;
      if (Norm::kCentred) {
        mean = warp_sum<kPieces>(sums_[i]) * share;
        square = fmaxf(square - mean * mean, 0.0F);
      }
      const int row = row_of(i);
      if (piece_ == 0 && row < kM) {
        to.scale[row] = rsqrtf(square + norm.eps);
        if (Norm::kCentred) to.mean[row] = mean;
      }
    }
  }

 private:
  static constexpr int kStep = kWarps * kRowsAtOnce;
  static constexpr int kRows = (kM + kStep - 1) / kStep;

  __device__ int row_of(int i) const {
    return row_ + i * kStep;
  }

  int row_;
  int piece_;
  float squares_[kRows] = {};
  float sums_[Norm::kCentred ? kRows : 1] = {};
};

// What is left of the norms of a tile's rows, the first of which is first_row.
template <int kM, class Norm>
struct NormOfTile {
  struct Row {
    float scale = 1;
    float mean = 0;
  };

  const Norm& norm;
  const RowScales<kM>* rows;
  int first_row;

  __device__ Row of_row([[maybe_unused]] int row) const {
    Row found;
    if constexpr (Norm::kMeasures) {
      found.scale = rows->scale[row - first_row];
      if constexpr (Norm::kCentred) found.mean = rows->mean[row - first_row];
    }
    return found;
  }

  // Of two or eight adjacent columns from `col` on, a multiple of their number; perhaps beyond the
  // end.
  template <int kCount>
  __device__ void apply([[maybe_unused]] const Row& row, [[maybe_unused]] int col,
                        [[maybe_unused]] float (&values)[kCount]) const {
    if constexpr (Norm::kMeasures) {
      if constexpr (Norm::kCentred) {
        float sums[kCount];
        if constexpr (kCount == 8) {
          load8(norm.column_sums + col, true, norm.columns - col, sums);
        } else {
          const auto two = load<2>(norm.column_sums + min(col, norm.columns - 2));
          sums[0] = two[0];
          sums[1] = two[1];
        }
#pragma unroll
        for (int i = 0; i < kCount; ++i) values[i] = multiply_add(-row.mean, sums[i], values[i]);
      }
#pragma unroll
      for (float& value : values) value *= row.scale;
    }
  }
};

// An epilogue of rows (epilogue.hpp) after their norms.
template <class Norms, class Epilogue>
struct AfterNorm {
  const Norms& norms;
  const Epilogue& epilogue;

  __device__ void operator()(int row, int col, float (&values)[8]) const {
    norms.apply(norms.of_row(row), col, values);
    epilogue(row, col, values);
  }
};

}  // namespace fvlm::FVLM_CUDA_TARGET
