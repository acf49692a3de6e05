// Matrix products with the weights in the activations' own type: the encoder's 1x1 convolutions.
#pragma once

#include "fvlm/core/view.hpp"
#include "fvlm/ops/epilogue.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target>
struct LinearKernels {
  template <class E>
  struct Product {
    View<const E> in;      // [rows, in]
    View<const E> weight;  // [out, in]
    const float* bias;     // [out], 16-byte aligned, or null
    Activation activation;
    View<const E> residual;  // [rows, out], added last; without data: none
    View<E> out;             // [rows, out]; may be the residual
  };

  // out = activation(in weight^T + bias) + residual, for E = BFloat16 and float.
  template <class E>
  static void multiply(Stream<target>& stream, int multiprocessors, const Product<E>& product);
};

}  // namespace fvlm
