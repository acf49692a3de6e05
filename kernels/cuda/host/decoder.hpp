// The decoder's kernels, for host code: each function puts work on a stream and returns; nothing is
// allocated and the host waits for nothing, so all of it can be recorded into a graph.
// E is the type of activations, float or BFloat16. Activations, caches and scratch memory begin at
// multiples of 16 bytes. One row's numbers do not depend on what other rows a batch has, up to
// kMatVecRows rows.
//
// A layer is five kernels for up to kMatVecRows rows: attention_input, attention, linear, swiglu,
// linear. For more rows, each norm is a kernel of its own.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/host/decoder_types.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// Rows of W at once.
template <Target target>
struct EmbedKernels {
  // out[i] = row ids[i] of the table; ids is on the device.
  template <class E>
  static void embed(Stream<target>& stream, const std::int32_t* ids, const DeviceMatrix& table,
                    View<E> out);
  // out = rms_norm(x).
  template <class E>
  static void rms_norm(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                       View<E> out);
  // Copies `bytes`, a multiple of 16, in each of `layers` layers, which are layer_bytes apart: a
  // page of the cache.
  static void copy_page(Stream<target>& stream, const std::byte* from, std::byte* to,
                        std::int64_t bytes, std::int64_t layers, std::int64_t layer_bytes);
};

// Products of tokens with a matrix.
template <Target target>
struct TokenKernels {
  static constexpr int kMatVecRows = 8;

  // What more than kMatVecRows rows need room for: their norm.
  template <class E>
  using Scratch = View<E>;  // [rows, in]

  // out = in W^T + b, GELU of it, or added to out.
  template <class E>
  static void linear(Stream<target>& stream, View<const E> in, const DeviceMatrix& weights,
                     bool gelu, bool accumulate, View<E> out);
  // out = SiLU(gate(n)) * up(n), n = rms_norm(x), gate and up stacked in one matrix.
  template <class E>
  static void swiglu(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                     const DeviceMatrix& gate_up, Scratch<E> scratch, View<E> out);
  // q, k, v = qkv(rms_norm(x)); q and k rotated; k and v to the cache; query [rows, heads * dim].
  template <class E>
  static void attention_input(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                              const DeviceMatrix& qkv, const DeviceAttention& attention,
                              const DeviceBatch& batch, const CacheLayer<E>& cache,
                              Scratch<E> scratch, View<E> query);
  // out = head(rms_norm(x)).
  template <class E>
  static void logits(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                     const DeviceMatrix& head, Scratch<E> scratch, View<float> out);
};

// Attention of a batch's queries over the paged cache.
template <Target target>
struct AttentionKernels {
  // Bytes of scratch memory for a batch of up to `rows` rows that attend to up to `tokens`; it must
  // hold zeros when it is used first.
  static std::int64_t scratch_bytes(const DeviceAttention& attention, std::int64_t rows,
                                    std::int64_t tokens);
  template <class E>
  static void attention(Stream<target>& stream, View<const E> query,
                        const DeviceAttention& attention, const DeviceBatch& batch,
                        const CacheLayer<E>& cache, std::byte* scratch, View<E> out);
};

}  // namespace fvlm
