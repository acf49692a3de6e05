#include "kernels/cuda/gemm/linear.hpp"

#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

namespace {

template <Activation kActivation, class E>
void multiply_with(Stream<kTarget>& stream, int multiprocessors,
                   const LinearKernels<kTarget>::Product<E>& p) {
  target::launch_tile_product(
      stream, multiprocessors, target::Rows<E>(p.in.data, p.in.stride, p.in.rows, p.in.cols),
      target::Rows<E>(p.weight.data, p.weight.stride, p.weight.rows, p.weight.cols),
      target::StoreRows<E, kActivation>(p.out.data, p.out.stride, p.out.cols, p.bias,
                                        p.residual.data, p.residual.stride),
      p.out.rows, p.out.cols, p.in.cols);
}

}  // namespace

template <>
template <class E>
void LinearKernels<kTarget>::multiply(Stream<kTarget>& stream, int multiprocessors,
                                      const Product<E>& product) {
  if (product.activation == Activation::kGelu) {
    multiply_with<Activation::kGelu>(stream, multiprocessors, product);
  } else {
    multiply_with<Activation::kNone>(stream, multiprocessors, product);
  }
}
template void LinearKernels<kTarget>::multiply(Stream<kTarget>&, int, const Product<float>&);
template void LinearKernels<kTarget>::multiply(Stream<kTarget>&, int, const Product<BFloat16>&);

}  // namespace fvlm
