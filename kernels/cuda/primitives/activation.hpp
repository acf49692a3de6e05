// Activations in float32, as exact as the type that their results are rounded to.
#pragma once

#include <cmath>

#include "fvlm/ops/epilogue.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// x / 2 (1 + erf(x / sqrt(2))), the form the model was trained with, not the one with tanh.
template <class Out>
__device__ inline float gelu(float x) {
  if constexpr (sizeof(Out) == 4) {
    return 0.5F * x * (1.0F + erff(x * 0.70710678F));
  } else {
    // x (1/2 + c p(c^2)) with c = x held to [-4, 4], p fitted with the least largest error: within
    // 5e-5 of it there, 1.3e-4 below. No special function, 13 instructions.
    const float low = fmaxf(x, -4.0F);
    const float c = fminf(low, 4.0F);
    const float square = c * c;
    float p = -1.301345178e-9F;
    p = multiply_add(p, square, 1.041990787e-7F);
    p = multiply_add(p, square, -3.657205830e-6F);
    p = multiply_add(p, square, 7.485594693e-5F);
    p = multiply_add(p, square, -1.006496439e-3F);
    p = multiply_add(p, square, 9.505419589e-3F);
    p = multiply_add(p, square, -6.588787769e-2F);
    p = multiply_add(p, square, 3.986734124e-1F);
    return low * multiply_add(c, p, 0.5F);
  }
}

__device__ inline float silu(float x) {
  return x / (1.0F + __expf(-x));
}

template <Activation kActivation, class Out>
__device__ inline float activate(float x) {
  if constexpr (kActivation == Activation::kGelu) return gelu<Out>(x);
  return x;
}

}  // namespace fvlm::FVLM_CUDA_TARGET
