// GEMMs with the weights in the activations' own type, for host code: the encoder's 1x1
// convolutions and its feed-forward layers, as one fused kernel where they fit into shared memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/view.hpp"
#include "fvlm/ops/epilogue.hpp"
#include "fvlm/ops/shapes.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// What the choice of a kernel depends on.
struct DeviceShape {
  int major = 0;  // of the compute capability
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;  // the most a block may have
};

// The layer norm of the input's rows, whose weight and shift are folded into the matrix and bias.
struct FoldedNorm {
  float eps = 0;
  const float* column_sums = nullptr;  // [out], of a row of the matrix each; null: no norm
};

template <Target target, class E>
struct LinearKernels {
  struct Product {
    View<const E> in;      // [rows, in]
    View<const E> weight;  // [out, in]
    const float* bias;     // [out], 16-byte aligned, or null
    Activation activation;
    View<const E> residual;  // [rows, out], added last; without data: none
    View<E> out;             // [rows, out]; may be the residual
    int tile = kTileByRule;  // host/tile_table.hpp; where there is one tile it has no effect
    FoldedNorm norm{};       // on compute capability 9.0, without an activation
    SplitSums split{};       // of split_floats() and SplitSums::kCounters; not with a norm
  };
  // Scratch memory where blocks share the depth: for up to so many rows.
  static std::int64_t split_floats(std::int64_t rows, const MatrixShape& weight);

  // out = activation(in weight^T + bias) + residual, for E = BFloat16 and float. A row's result
  // does not depend on how many rows there are.
  static void multiply(Stream<target>& stream, const DeviceShape& device, const Product& product);
};

template <Target target, class E>
struct FeedForwardKernels {
  // Whether `feed_forward` is the way on such a device; else the caller runs two GEMMs. Those are
  // the faster way on compute capability 9.0, whose wgmma this kernel has not.
  static bool supports(std::int64_t channels, const DeviceShape& device);
  // out = residual + fc2(GELU(fc1(in))): in, residual, out [rows, channels], contiguous.
  static void feed_forward(Stream<target>& stream, View<const E> in, const Layer<E>& fc1,
                           const Layer<E>& fc2, View<const E> residual, View<E> out);
};

}  // namespace fvlm
