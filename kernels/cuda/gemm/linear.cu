// The GEMM of a linear layer: which kernel, and which tile.
#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/hopper/launch.hpp"
#include "kernels/cuda/gemm/tile_parts.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

namespace {

template <Activation kActivation, class E>
void multiply_with(Stream<kTarget>& stream, const DeviceShape& device,
                   const typename LinearKernels<kTarget, E>::Product& p) {
  const auto operand = [](View<const E> m) {
    return target::RowOperand<E>(m.data, m.stride, m.rows, m.cols);
  };
  const target::StoreRows<E, kActivation> epilogue(p.out.data, p.out.stride, p.out.cols, p.bias,
                                                   p.residual.data, p.residual.stride);
  const auto a = operand(p.in);
  const auto b = operand(p.weight);
  if (!a.is_whole() || !b.is_whole()) {
    return target::launch_tile_product<target::RaggedTile<E>>(stream, a, b, epilogue, p.out.rows,
                                                              p.out.cols, p.in.cols);
  }
  if constexpr (sizeof(E) == 2) {
    if (device.major == 9) {
      const auto multiply = [&](const auto& norm) {
        target::multiply_linear_on_hopper(stream, device.multiprocessors, p.in, p.weight, norm,
                                          epilogue, p.split, p.tile);
      };
      if constexpr (kActivation == Activation::kNone) {
        if (p.norm.column_sums != nullptr) {
          return multiply(target::DeviationOfRows{p.norm.eps, p.norm.column_sums,
                                                  static_cast<int>(p.weight.rows)});
        }
      }
      return multiply(target::NoNorm{});
    }
    if (const DepthParts parts(p.out.cols, p.in.cols); parts.count() > 1) {
      return target::multiply_in_parts(stream, device.multiprocessors, a.whole(), b.whole(),
                                       epilogue, parts, p.split, p.out.rows, p.out.cols, p.tile);
    }
  }
  target::dispatch_tile<E>(
      p.out.rows, p.out.cols, device.multiprocessors, p.tile, [&]<class Shape>() {
        target::launch_tile_product<Shape>(stream, a.whole(), b.whole(), epilogue, p.out.rows,
                                           p.out.cols, p.in.cols);
      });
}

}  // namespace

template <Target t, class E>
void LinearKernels<t, E>::multiply(Stream<t>& stream, const DeviceShape& device,
                                   const Product& product) {
  if (product.activation == Activation::kGelu) {
    multiply_with<Activation::kGelu, E>(stream, device, product);
  } else {
    multiply_with<Activation::kNone, E>(stream, device, product);
  }
}

template <Target t, class E>
std::int64_t LinearKernels<t, E>::split_floats(std::int64_t rows, const MatrixShape& weight) {
  if (sizeof(E) != 2) return 0;  // without tensor cores
  return DepthParts(weight.out, weight.in).floats(rows);
}

template struct LinearKernels<kTarget, float>;
template struct LinearKernels<kTarget, BFloat16>;

}  // namespace fvlm
