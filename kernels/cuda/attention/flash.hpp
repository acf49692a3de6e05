// FlashAttention for 16 rows of queries by one warp, a few tokens at a time: softmax(q k^T /
// sqrt(dim)) v with scores and weights in registers. The decode and the prefill kernel share it.
//
// Online softmax: every row keeps the running maximum, the sum of weights relative to it, and the
// weighted sum of values; a larger maximum rescales the latter two (Milakov and Gimelshein, 2018;
// Dao et al., "FlashAttention", 2022). Scores are in units of log2, for exp2.
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

// 2^(x - base), where both may be -infinity.
__device__ inline float weight_of(float x, float base) {
  return x == -INFINITY ? 0.0F : exp2f(x - base);
}

template <int kDim>
struct FlashRows {
  static constexpr int kTiles = kDim / 8;

  FragmentC out[kTiles];
  float largest[2];  // of rows g and g + 8 of the fragments
  float sum[2];      // this lane's share

  __device__ FlashRows() : out{}, largest{-INFINITY, -INFINITY}, sum{} {}

  // Takes the scores of kTokens neighbouring tokens from `first` on, of which row i sees those
  // before visible[i]. add_values(weights, n) multiplies the weights of tokens [16 n, 16 n + 16)
  // of these with their values, into `out`.
  template <int kTokens, class F>
  __device__ void add(FragmentC (&scores)[kTokens / 8], int first, const int (&visible)[2],
                      float scale, F&& add_values) {
    float most[2] = {largest[0], largest[1]};
#pragma unroll
    for (int tile = 0; tile < kTokens / 8; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool seen = first + tile * 8 + FragmentC::col(i) < visible[i / 2];
        float& score = scores[tile].reg[i];
        score = seen ? score * scale : -INFINITY;
        most[i / 2] = fmaxf(most[i / 2], score);
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      most[r] = warp_max<4>(most[r]);
      const float correction = weight_of(largest[r], most[r]);
      largest[r] = most[r];
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
          const float a = weight_of(s.reg[2 * r], most[r]);
          const float b = weight_of(s.reg[2 * r + 1], most[r]);
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
};

}  // namespace fvlm::FVLM_CUDA_TARGET
