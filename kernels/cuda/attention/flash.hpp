// FlashAttention for 16 rows of queries by one warp, a few tokens at a time: softmax(q k^T /
// sqrt(dim)) v with scores and weights in registers. All attention kernels on tensor cores share
// it.
//
// Online softmax: every row keeps the running maximum, the sum of weights relative to it, and the
// weighted sum of values; a larger maximum rescales the latter two (Milakov and Gimelshein, 2018;
// Dao et al., "FlashAttention", 2022).
#pragma once

#include <cmath>
#include <cstdint>

#include "fvlm/ops/batch.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

inline constexpr int kPage = static_cast<int>(kPageTokens);

// Scores times this are in units of log2.
__device__ inline float score_scale(int head_dim) {
  constexpr float kLog2OfE = 1.44269504F;
  return kLog2OfE / sqrtf(static_cast<float>(head_dim));
}

// 2^x in one instruction, of the same error as exp2f but for results below 2^-126, which are 0.
__device__ inline float fast_exp2(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

// 2^(x - base), where both may be -infinity.
__device__ inline float weight_of(float x, float base) {
  return x == -INFINITY ? 0.0F : fast_exp2(x - base);
}

template <int kDim>
struct FlashRows {
  static constexpr int kTiles = kDim / 8;

  FragmentC out[kTiles];
  float largest[2];  // of rows g and g + 8 of the fragments, in units of log2
  float sum[2];      // this lane's share

  __device__ FlashRows() : out{}, largest{-INFINITY, -INFINITY}, sum{} {}

  // Takes the scores of kTokens neighbouring tokens from `first` on, of which row i sees those
  // before visible[i]. add_values(weights, n) multiplies the weights of tokens [16 n, 16 n + 16)
  // of these with their values, into `out`.
  template <int kTokens, class F>
  __device__ void add(FragmentC (&scores)[kTokens / 8], int first, const int (&visible)[2],
                      float scale, F&& add_values) {
    if (first + kTokens > min(visible[0], visible[1])) hide<kTokens>(scores, first, visible);
    float base[2];  // of the weights' exponents: a finite number
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = scores[0].reg[2 * r];
#pragma unroll
      for (int tile = 0; tile < kTokens / 8; ++tile) {
        most = fmaxf(most, fmaxf(scores[tile].reg[2 * r], scores[tile].reg[2 * r + 1]));
      }
      most = fmaxf(largest[r], warp_max<4>(most) * scale);
      base[r] = most == -INFINITY ? 0.0F : most;
      const float correction = fast_exp2(largest[r] - base[r]);
      largest[r] = most;
      sum[r] *= correction;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        out[tile].reg[2 * r] *= correction;
        out[tile].reg[2 * r + 1] *= correction;
      }
    }
#pragma unroll
    for (int n = 0; n < kTokens / 16; ++n) {
      FragmentA<BFloat16> weights;
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const FragmentC& s = scores[2 * n + tile];
          const float a = fast_exp2(multiply_add(s.reg[2 * r], scale, -base[r]));
          const float b = fast_exp2(multiply_add(s.reg[2 * r + 1], scale, -base[r]));
          sum[r] += a + b;
          weights.reg[2 * tile + r] = pack<BFloat16>(a, b);
        }
      }
      add_values(weights, n);
    }
  }

  // The whole sum of a row, in all its lanes.
  __device__ float whole_sum(int r) const {
    return warp_sum<4>(sum[r]);
  }

 private:
  // A token that a row does not see has no weight.
  template <int kTokens>
  __device__ static void hide(FragmentC (&scores)[kTokens / 8], int first,
                              const int (&visible)[2]) {
#pragma unroll
    for (int tile = 0; tile < kTokens / 8; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (first + tile * 8 + FragmentC::col(i) >= visible[i / 2]) {
          scores[tile].reg[i] = -INFINITY;
        }
      }
    }
  }
};

}  // namespace fvlm::FVLM_CUDA_TARGET
