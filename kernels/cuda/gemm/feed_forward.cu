// A fused feed-forward layer: fc1, GELU, fc2 and the residual in one kernel. The hidden layer, four
// times as wide as the input, never leaves the SM. A block keeps kRows rows of the input in shared
// memory and goes through the hidden layer kHidden columns at a time:
//   hidden [rows, kHidden]  = GELU(in fc1^T + b)  kHidden rows of fc1 in shared memory
//   sums   [rows, C]       += hidden fc2^T        as many columns of fc2; sums stay in registers
// While one GEMM runs, the other's next weights are being copied, so one buffer each suffices. The
// loop along the depth is not unrolled: the next steps' fragments would not fit into registers.
//
// Fusion pays while the sums fit into registers and the weights, which every block reads again from
// L2, are small: up to 192 channels, FastViTHD's first two stages.
#include <algorithm>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/result_rows.hpp"
#include "kernels/cuda/gemm/tile_operand.hpp"
#include "kernels/cuda/primitives/launch.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

template <class E, int kC>
struct FeedForward {
  static constexpr int kRows = 128;
  static constexpr int kHidden = kC <= 96 ? 32 : 64;  // as the registers allow
  // Warps: four of 32 rows by parts of the columns, of 48 sums each.
  static constexpr int kColWarps = kC / 48;
  static constexpr int kThreads = 4 * kColWarps * 32;
  static constexpr int kBlocks = 512 / kThreads;  // at once on an SM
  static constexpr int kRowTiles = 2;
  static constexpr int kHiddenTiles = kHidden / kColWarps / 8;
  static constexpr int kSumTiles = kC / kColWarps / 8;
  // Rows are stored in slices of 32 channels, so that any multiple of these can be swizzled.
  static constexpr int kSlice = 32;
  static constexpr int kSlices = kC / kSlice;
  static_assert(kC % 96 == 0);

  struct Weights {
    E in[kSlices][kRows * kSlice];
    E fc1[kSlices][kHidden * kSlice];
    E fc2[kC * kHidden];
    E hidden[kRows * kHidden];
  };
  union Shared {
    Weights tiles;
    float results[kThreads / 32][ResultRows<8 * kSumTiles>::kFloats];
  };
};

template <class E, int kC>
__global__ void __launch_bounds__(FeedForward<E, kC>::kThreads, FeedForward<E, kC>::kBlocks)
    feed_forward(RowOperand<E, false> in, RowOperand<E, false> fc1, const float* fc1_bias,
                 RowOperand<E, false> fc2, StoreRows<E, Activation::kNone> epilogue, int rows,
                 int hidden_cols) {
  using F = FeedForward<E, kC>;
  using Operand = RowOperand<E, false>;
  using HiddenTile = SwizzledTile<E, F::kHidden>;
  check_launch_bounds<F::kThreads>();
  auto& shared = *dynamic_shared<typename F::Shared>();
  auto& tiles = shared.tiles;
  const int row0 = static_cast<int>(blockIdx.x) * F::kRows;
  const int warp = static_cast<int>(warp_id());
  const int warp_row = warp / F::kColWarps * 32;
  const int part = warp % F::kColWarps;
  const int hidden_col = part * 8 * F::kHiddenTiles;
  const int sum_col = part * 8 * F::kSumTiles;

  const auto fetch_fc1 = [&](int first) {
#pragma unroll
    for (int s = 0; s < F::kSlices; ++s) {
      fc1.template fetch<F::kHidden, F::kSlice, F::kThreads>(tiles.fc1[s], first, s * F::kSlice);
    }
    copy_async_commit();
  };
  const auto fetch_fc2 = [&](int first) {
    fc2.template fetch<kC, F::kHidden, F::kThreads>(tiles.fc2, 0, first);
    copy_async_commit();
  };
  fetch_fc1(0);  // weights do not depend on the previous kernel
  wait_for_previous_kernel();
  allow_next_kernel();
#pragma unroll
  for (int s = 0; s < F::kSlices; ++s) {
    in.template fetch<F::kRows, F::kSlice, F::kThreads>(tiles.in[s], row0, s * F::kSlice);
  }
  copy_async_commit();

  FragmentC sums[F::kRowTiles][F::kSumTiles] = {};
  for (int first = 0; first < hidden_cols; first += F::kHidden) {
    copy_async_wait();
    __syncthreads();  // fc1 and the input have arrived; all are done with fc2 and hidden
    fetch_fc2(first);
    FragmentC products[F::kRowTiles][F::kHiddenTiles] = {};
#pragma unroll 1
    for (int k = 0; k < kC; k += 16) {
      const int slice = k / F::kSlice;
      FragmentA<E> a[F::kRowTiles];
#pragma unroll
      for (int i = 0; i < F::kRowTiles; ++i) {
        Operand::template load_a<F::kRows, F::kSlice>(a[i], tiles.in[slice], warp_row + 16 * i,
                                                      k % F::kSlice);
      }
#pragma unroll
      for (int j = 0; j < F::kHiddenTiles; j += 2) {
        FragmentB<E> b[2];
        Operand::template load_b<F::kHidden, F::kSlice>(b, tiles.fc1[slice], hidden_col + 8 * j,
                                                        k % F::kSlice);
#pragma unroll
        for (int i = 0; i < F::kRowTiles; ++i) {
          mma(products[i][j], a[i], b[0]);
          mma(products[i][j + 1], a[i], b[1]);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < F::kHiddenTiles; ++j) {
      const int col = hidden_col + 8 * j + FragmentC::col(0);
      const bool inside = first + col + 1 < hidden_cols;  // pairs: the hidden layer is even
      const float bias[2] = {inside ? fc1_bias[first + col] : 0.0F,
                             inside ? fc1_bias[first + col + 1] : 0.0F};
#pragma unroll
      for (int i = 0; i < F::kRowTiles; ++i) {
        const FragmentC& c = products[i][j];
#pragma unroll
        for (int r = 0; r < 4; r += 2) {
          const int row = warp_row + 16 * i + FragmentC::row(r);
          const Vec<std::uint32_t, 1> two{
              {pack<E>(gelu<E>(c.reg[r] + bias[0]), gelu<E>(c.reg[r + 1] + bias[1]))}};
          store(reinterpret_cast<std::uint32_t*>(tiles.hidden + HiddenTile::at(row, col / 8) +
                                                 col % 8),
                two);
        }
      }
    }
    copy_async_wait();
    __syncthreads();  // fc2 and the hidden layer are complete, and all are done with fc1
    if (first + F::kHidden < hidden_cols) fetch_fc1(first + F::kHidden);
#pragma unroll 1
    for (int k = 0; k < F::kHidden; k += 16) {
      FragmentA<E> a[F::kRowTiles];
#pragma unroll
      for (int i = 0; i < F::kRowTiles; ++i) {
        Operand::template load_a<F::kRows, F::kHidden>(a[i], tiles.hidden, warp_row + 16 * i, k);
      }
#pragma unroll
      for (int j = 0; j < F::kSumTiles; j += 2) {
        FragmentB<E> b[2];
        Operand::template load_b<kC, F::kHidden>(b, tiles.fc2, sum_col + 8 * j, k);
#pragma unroll
        for (int i = 0; i < F::kRowTiles; ++i) {
          mma(sums[i][j], a[i], b[0]);
          mma(sums[i][j + 1], a[i], b[1]);
        }
      }
    }
  }
  __syncthreads();  // all are done with the tiles, where the results go now
  finish_fragments(sums, shared.results[warp], row0 + warp_row, sum_col, rows, epilogue);
}

template <int kC, class E>
void launch_feed_forward(Stream<kTarget>& stream, View<const E> in, const Layer<E>& fc1,
                         const Layer<E>& fc2, View<const E> residual, View<E> out) {
  using F = FeedForward<E, kC>;
  const auto rows = [](View<const E> m) {
    return RowOperand<E, false>(m.data, m.stride, m.rows, m.cols);
  };
  launch<feed_forward<E, kC>>(
      Launch{.grid = (in.rows + F::kRows - 1) / F::kRows,
             .block = F::kThreads,
             .shared_bytes = sizeof(typename F::Shared),
             .stream = stream,
             .overlap_previous = true},
      rows(in), rows(fc1.weight), fc1.bias, rows(fc2.weight),
      StoreRows<E, Activation::kNone>(out.data, out.stride, out.cols, fc2.bias, residual.data,
                                      residual.stride),
      static_cast<int>(in.rows), static_cast<int>(fc1.weight.rows));
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t, class E>
bool FeedForwardKernels<t, E>::supports(std::int64_t channels, const DeviceShape& device) {
  if constexpr (sizeof(E) == 4) {
    return false;
  } else {
    const std::size_t needed = channels <= 96
                                   ? sizeof(typename target::FeedForward<E, 96>::Shared)
                                   : sizeof(typename target::FeedForward<E, 192>::Shared);
    return device.major != 9 && channels <= 192 && channels % 8 == 0 &&
           needed <= device.shared_bytes;
  }
}

template <Target t, class E>
void FeedForwardKernels<t, E>::feed_forward(Stream<t>& stream, View<const E> in,
                                            const Layer<E>& fc1, const Layer<E>& fc2,
                                            View<const E> residual, View<E> out) {
  if constexpr (sizeof(E) == 2) {
    if (in.cols <= 96) {
      target::launch_feed_forward<96>(stream, in, fc1, fc2, residual, out);
    } else {
      target::launch_feed_forward<192>(stream, in, fc1, fc2, residual, out);
    }
  }
}

template struct FeedForwardKernels<kTarget, float>;
template struct FeedForwardKernels<kTarget, BFloat16>;

}  // namespace fvlm
