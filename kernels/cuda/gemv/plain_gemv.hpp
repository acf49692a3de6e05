// Tokens times a weight matrix, for any type of activations and weights, without tensor cores and
// without tuning: what float32 activations and formats that no model is served in are computed
// with. A warp computes a pair of outputs for a few tokens; the order of additions is the same for
// any number of these.
#pragma once

#include <cstdint>

#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

struct PlainGemv {
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kRows = 4;
};

template <class E, WeightType kType>
__global__ void __launch_bounds__(PlainGemv::kThreads)
    plain_gemv(TokenInput<E> in, TokenOutput<E> out) {
  using W = Weights<kType>;
  check_launch_bounds<PlainGemv::kThreads>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int p = static_cast<int>(blockIdx.x) * PlainGemv::kWarps + static_cast<int>(warp_id());
  if (p >= out.pairs()) return;
  const int first_row = static_cast<int>(blockIdx.y) * PlainGemv::kRows;
  const auto [first, second] = out.pair(p);
  const int vectors = in.weights.row_bytes / 16;
  float sums[PlainGemv::kRows][2] = {};
  for (int v = static_cast<int>(lane_id()); v < vectors; v += 32) {
#pragma unroll
    for (int o = 0; o < 2; ++o) {
      const int output = o == 0 ? first : second;
      if (output >= out.outputs) continue;
      const auto words = load16_once(reinterpret_cast<const std::uint32_t*>(
          in.weights.weight + std::int64_t{output} * in.weights.row_bytes + v * 16));
#pragma unroll
      for (int n = 0; n < W::kRuns; ++n) {
        const int input = W::input(v, n);
        float w[W::kRun];
        W::unpack(words, n, w);
        float scale = 1;
        if constexpr (W::kQuantised) {
          const int group = in.weights.format.group;
          scale = to_float(in.weights.scales[std::int64_t{output} * (vectors * W::kCount / group) +
                                             input / group]);
        }
#pragma unroll
        for (int r = 0; r < PlainGemv::kRows; ++r) {
          if (first_row + r >= in.rows) continue;
          const E* const x = in.x + (first_row + r) * in.stride + input;
          float part = 0;
#pragma unroll
          for (int i = 0; i < W::kRun; ++i) {
            if (input + i < in.weights.in) part = multiply_add(w[i], to_float(x[i]), part);
          }
          sums[r][o] = multiply_add(part, scale, sums[r][o]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < PlainGemv::kRows; ++r) {
    const float a = warp_sum(sums[r][0]);
    const float b = warp_sum(sums[r][1]);
    if (lane_id() == 0 && first_row + r < in.rows) out.write(first_row + r, p, a, b);
  }
}

template <class E, WeightType kType>
void launch_plain(Stream<kTarget>& stream, const TokenInput<E>& input,
                  const TokenOutput<E>& output) {
  launch<plain_gemv<E, kType>>(
      Launch{.grid = {(output.pairs() + PlainGemv::kWarps - 1) / PlainGemv::kWarps,
                      (input.rows + PlainGemv::kRows - 1) / PlainGemv::kRows},
             .block = PlainGemv::kThreads,
             .stream = stream,
             .overlap_previous = true},
      input, output);
}

}  // namespace fvlm::FVLM_CUDA_TARGET
