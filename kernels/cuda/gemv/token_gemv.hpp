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
template <class Work>
void dispatch_skinny(int rows, int outputs, Work&& work) {
  const bool many = outputs >= 16384;
  const bool very_many = outputs >= 65536;
  if (rows <= 8) {
    if (very_many) return work.template operator()<8, 4>();
    if (many) return work.template operator()<8, 2>();
    return work.template operator()<8, 1>();
  }
  if (rows <= 16) {
    if (many) return work.template operator()<16, 2>();
    return work.template operator()<16, 1>();
  }
  if (rows <= 32) return work.template operator()<32, 2>();
  return work.template operator()<64, 2>();
}

template <class E, WeightType kType>
void TokenGemv<E, kType>::multiply(Stream<kTarget>& stream, const TokenInput<E>& input,
                                   const TokenOutput<E>& output) {
  if constexpr (is_skinny<E>(kType)) {
    dispatch_skinny(input.rows, output.outputs, [&]<int kRows, int kTiles>() {
      if (input.norm.weight != nullptr) {
        launch_skinny<kType, kRows, kTiles, true>(stream, input, output);
      } else {
        launch_skinny<kType, kRows, kTiles, false>(stream, input, output);
      }
    });
  } else {
    launch_plain<E, kType>(stream, input, output);
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
