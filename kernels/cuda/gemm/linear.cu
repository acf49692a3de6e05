// The GEMM of a linear layer; dispatch_tile in tile_product.hpp chooses its tile.
#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

namespace {

template <Activation kActivation, class E>
void multiply_with(Stream<kTarget>& stream, int multiprocessors,
                   const typename LinearKernels<kTarget, E>::Product& p) {
  target::launch_tile_product(
      stream, multiprocessors, target::RowOperand<E>(p.in.data, p.in.stride, p.in.rows, p.in.cols),
      target::RowOperand<E>(p.weight.data, p.weight.stride, p.weight.rows, p.weight.cols),
      target::StoreRows<E, kActivation>(p.out.data, p.out.stride, p.out.cols, p.bias,
                                        p.residual.data, p.residual.stride),
      p.out.rows, p.out.cols, p.in.cols);
}

}  // namespace

template <Target t, class E>
void LinearKernels<t, E>::multiply(Stream<t>& stream, int multiprocessors, const Product& product) {
  if (product.activation == Activation::kGelu) {
    multiply_with<Activation::kGelu, E>(stream, multiprocessors, product);
  } else {
    multiply_with<Activation::kNone, E>(stream, multiprocessors, product);
  }
}

template struct LinearKernels<kTarget, float>;
template struct LinearKernels<kTarget, BFloat16>;

}  // namespace fvlm
