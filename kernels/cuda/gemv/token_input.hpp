// A product of tokens with a matrix, as launchers pass it on.
#pragma once

#include <cstdint>

#include "kernels/cuda/gemv/token_output.hpp"
#include "kernels/cuda/host/decoder_types.hpp"
#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// The operands: x [rows, in], normed first if there is a norm, and W.
template <class E>
struct TokenInput {
  const E* x = nullptr;
  std::int64_t stride = 0;
  int rows = 0;
  DeviceNorm norm{};
  DeviceMatrix weights{};
};

// For up to 8 rows (token_matvec_launch.hpp). Instantiated in token_matvec_*.cu.
template <class E, WeightType kType>
void launch_matvec(Stream<kTarget>& stream, const TokenInput<E>& input,
                   const TokenOutput<E>& output);
// For any number of rows, without norm (token_tile.cu): BFloat16 with bfloat16, int8 or int4
// weights.
template <WeightType kType>
void launch_token_tile(Stream<kTarget>& stream, const TokenInput<BFloat16>& input,
                       const TokenOutput<BFloat16>& output);

}  // namespace fvlm::FVLM_CUDA_TARGET
