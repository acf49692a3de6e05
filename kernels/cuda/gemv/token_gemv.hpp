// GEMMs of a decode step for one weight format: instantiated in a source of its own for each
// format, because each is dozens of kernels.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/gemv/plain_gemv.hpp"
#include "kernels/cuda/gemv/skinny_gemm.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Calls work.template operator()<kRows, kTiles>(): the kernel for so many tokens and outputs. Many
// outputs leave enough warps if each has several tiles, which then share the tokens they load.
template <WeightType kType, class Work>
void dispatch_skinny(int rows, int outputs, Work&& work) {
  constexpr int kMostTiles = Weights<kType>::kQuantised ? 2 : 4;  // as registers allow
  constexpr int kTilesOfManyRows = kMostTiles / 2;
  const bool many = outputs >= 16384;
  if (rows <= 8) {
    if (many) return work.template operator()<8, kMostTiles>();
    return work.template operator()<8, 1>();
  }
  if (rows <= 16) {
    if (many) return work.template operator()<16, 2>();
    return work.template operator()<16, 1>();
  }
  if (rows <= 32) return work.template operator()<32, kTilesOfManyRows>();
  return work.template operator()<64, kTilesOfManyRows>();
}

template <WeightType kType, int kGroup>
void multiply_skinny(Stream<kTarget>& stream, const TokenInput<BFloat16>& input,
                     const TokenOutput<BFloat16>& output) {
  dispatch_skinny<kType>(input.rows, output.outputs, [&]<int kRows, int kTiles>() {
    if constexpr (kRows == NormedTokens::kRows) {
      if (input.norm.weight != nullptr) {
        return launch_skinny<kType, kGroup, kRows, kTiles, true>(stream, input, output);
      }
    }
    launch_skinny<kType, kGroup, kRows, kTiles, false>(stream, input, output);
  });
}

template <class E, WeightType kType>
void TokenGemv<E, kType>::multiply(Stream<kTarget>& stream, const TokenInput<E>& input,
                                   const TokenOutput<E>& output) {
  if constexpr (has_tensor_cores<E>(kType)) {
    if (!is_skinny(input)) return launch_plain<E, kType>(stream, input, output);
    if constexpr (!Weights<kType>::kQuantised) {
      multiply_skinny<kType, 0>(stream, input, output);
    } else if (input.weights.format.group == 32) {
      multiply_skinny<kType, 32>(stream, input, output);
    } else if (input.weights.format.group == 64) {
      multiply_skinny<kType, 64>(stream, input, output);
    } else {
      multiply_skinny<kType, 128>(stream, input, output);
    }
  } else {
    launch_plain<E, kType>(stream, input, output);
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
