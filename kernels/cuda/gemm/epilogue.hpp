// Epilogues of a GEMM: what happens to a result before it is stored. An epilogue is a functor that
// gets eight adjacent results of one row: epilogue(row, col, values) with col a multiple of 8, for
// rows that exist; columns may be beyond the end, so it checks those. One with kBoxes takes
// fragments (hopper/store.hpp).
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/row_access.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Results of one row that an epilogue gets at once.
inline constexpr int kEpilogueCols = 8;

// out[row, col] = activation(value + bias[col]) + residual[row, col].
template <class Out, Activation kActivation>
struct StoreRows {
  static constexpr bool kBoxes = false;

  Out* out;  // [rows, cols]
  std::int64_t stride;
  int cols;
  const float* bias;    // [cols], or null
  const Out* residual;  // [rows, cols] with a stride of its own, or null; may be out itself
  std::int64_t residual_stride;
  bool aligned;  // 16-byte accesses to out and residual

  StoreRows() = default;
  StoreRows(Out* to, std::int64_t to_stride, std::int64_t count, const float* added_bias = nullptr,
            const Out* added = nullptr, std::int64_t added_stride = 0)
      : out(to),
        stride(to_stride),
        cols(static_cast<int>(count)),
        bias(added_bias),
        residual(added),
        residual_stride(added_stride),
        aligned(is_aligned(to, to_stride) &&
                (added == nullptr || is_aligned(added, added_stride))) {}

  __device__ void operator()(int row, int col, float (&values)[8]) const {
    const int count = cols - col;
    if (count <= 0) return;
    float more[8];
    if (bias != nullptr) {
      load8(bias + col, true, count, more);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] += more[i];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = activate<kActivation, Out>(values[i]);
    if (residual != nullptr) {
      load8(residual + row * residual_stride + col, aligned, count, more);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] += more[i];
    }
    store8(out + row * stride + col, aligned, count, values);
  }
};

}  // namespace fvlm::FVLM_CUDA_TARGET
