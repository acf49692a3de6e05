// GEMMs of a decode step for one weight format: instantiated in a source of its own for each
// format, because each is dozens of kernels.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/gemv/plain_gemv.hpp"
#include "kernels/cuda/gemv/skinny_gemm.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Calls work.template operator()<kRows, kTiles>(): the kernel for so many tokens and outputs. Many
// outputs leave enough warps if each has several tiles, which then share the tokens they load; of
// many rows those are most of the traffic, and segments of the depth count as well.
template <WeightType kType, class Work>
void dispatch_skinny(int rows, const DeviceMatrix& weights, Work&& work) {
  constexpr int kMostTiles = Weights<kType>::kQuantised ? 2 : 4;  // as registers allow
  constexpr int kTilesOfManyRows = kMostTiles / 2;
  constexpr int kManyOutputs = 16384;
  const int segments = rows <= 16 ? 1 : skinny_segments(weights.out, weights.row_bytes);
  const bool many = weights.out >= kManyOutputs / segments;
  if (rows <= 8) {
    if (many) return work.template operator()<8, kMostTiles>();
    return work.template operator()<8, 1>();
  }
  if (rows <= 16) {
    if (many) return work.template operator()<16, 2>();
    return work.template operator()<16, 1>();
  }
  if (rows <= 32) {
    if (many) return work.template operator()<32, kTilesOfManyRows>();
    return work.template operator()<32, 1>();
  }
  if (many) return work.template operator()<64, kTilesOfManyRows>();
  return work.template operator()<64, 1>();
}

template <WeightType kType, int kGroup>
void multiply_skinny(Stream<kTarget>& stream, const TokenInput<BFloat16>& input,
                     const TokenOutput<BFloat16>& output, const SplitSums& split) {
  dispatch_skinny<kType>(input.rows, input.weights, [&]<int kRows, int kTiles>() {
    if constexpr (kRows == NormedTokens::kRows) {
      if (input.norm.weight != nullptr) {
        return launch_skinny<kType, kGroup, kRows, kTiles, true>(stream, input, output, split);
      }
    }
    launch_skinny<kType, kGroup, kRows, kTiles, false>(stream, input, output, split);
  });
}

template <class E, WeightType kType>
void TokenGemv<E, kType>::multiply(Stream<kTarget>& stream, const TokenInput<E>& input,
                                   const TokenOutput<E>& output,
                                   [[maybe_unused]] const SplitSums& split) {
  if constexpr (has_tensor_cores<E>(kType)) {
    if (!is_skinny(input)) return launch_plain<E, kType>(stream, input, output);
    if constexpr (!Weights<kType>::kQuantised) {
      multiply_skinny<kType, 0>(stream, input, output, split);
    } else if (input.weights.format.group == 32) {
      multiply_skinny<kType, 32>(stream, input, output, split);
    } else if (input.weights.format.group == 64) {
      multiply_skinny<kType, 64>(stream, input, output, split);
    } else {
      multiply_skinny<kType, 128>(stream, input, output, split);
    }
  } else {
    launch_plain<E, kType>(stream, input, output);
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
