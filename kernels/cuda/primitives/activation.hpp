// Activations in float32.
#pragma once

#include <cmath>

#include "fvlm/ops/epilogue.hpp"
#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// x / 2 (1 + erf(x / sqrt(2))), the form the model was trained with, not the one with tanh.
__device__ inline float gelu(float x) {
  return 0.5F * x * (1.0F + erff(x * 0.70710678F));
}

__device__ inline float silu(float x) {
  return x / (1.0F + __expf(-x));
}

template <Activation kActivation>
__device__ inline float activate(float x) {
  if constexpr (kActivation == Activation::kGelu) return gelu(x);
  return x;
}

}  // namespace fvlm::FVLM_CUDA_TARGET
