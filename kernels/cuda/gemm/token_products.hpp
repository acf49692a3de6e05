// GEMMs of the decoder, for host code: activations of tokens times a weight matrix in any format.
// Up to kMatVecRows rows run as a bandwidth-bound skinny GEMM (../gemv), more as a block-tiled one.
// The bits of a row's result do not depend on what other rows a batch has, up to kMatVecRows rows.
// For more rows, the norm is a kernel of its own. Activations, caches and scratch memory are
// 16-byte aligned.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// GEMMs of tokens with a weight matrix.
template <Target target, class E>
struct TokenKernels {
  static constexpr int kMatVecRows = 8;

  // Scratch memory that more than kMatVecRows rows need for their norm.
  using Scratch = View<E>;  // [rows, in]

  // out = in W^T + b, GELU of it, or added to out.
  static void linear(Stream<target>& stream, View<const E> in, const DeviceMatrix& weights,
                     bool gelu, bool accumulate, View<E> out);
  // out = SiLU(gate(n)) * up(n), n = rms_norm(x), gate and up stacked in one matrix.
  static void swiglu(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                     const DeviceMatrix& gate_up, Scratch scratch, View<E> out);
  // q, k, v = qkv(rms_norm(x)); q and k rotated; k and v to the cache; query [rows, heads * dim].
  static void attention_input(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                              const DeviceMatrix& qkv, const DeviceAttention& attention,
                              const DeviceBatch& batch, const CacheLayer<E>& cache, Scratch scratch,
                              View<E> query);
  // out = head(rms_norm(x)).
  static void logits(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                     const DeviceMatrix& head, Scratch scratch, View<float> out);
};

}  // namespace fvlm
