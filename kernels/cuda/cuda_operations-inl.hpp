// The CUDA backend's operations: scratch memory for each, then its kernels. Scratch is given back
// when an operation returns, before its kernels have run; what gets it next runs after them.
#pragma once

#include <cassert>
#include <cstdint>
#include <span>
#include <type_traits>

#include "fvlm/core/error.hpp"
#include "kernels/cuda/cuda.hpp"
#include "kernels/cuda/linear.hpp"

namespace fvlm {

// Encoder
// ------------------------------------------------------------------------------------------

template <Target target, class E>
void CudaBackend<target, E>::stem(FeatureMap<const std::uint8_t> pixels, const Stem& conv,
                                  const Depthwise& depthwise, FeatureMap<E> out) {
  if (arena_.measures()) return;
  StemKernels<target>::template stem<E>(*stream_, pixels, conv.filters, depthwise.filters, out);
}

template <Target target, class E>
void CudaBackend<target, E>::depthwise(FeatureMap<const E> in, const Depthwise& weights,
                                       Activation activation, FeatureMap<E> out) {
  if (arena_.measures()) return;
  DepthwiseKernels<target>::template depthwise<E>(*stream_, in, weights.filters, activation, out);
}

template <Target target, class E>
Layer<E> CudaBackend<target, E>::layer(const Linear& linear) const {
  const DeviceMatrix& m = linear.matrix;
  assert(linear.rows == Rows::kPositions);
  return {{reinterpret_cast<const E*>(m.weight), m.out, m.in,
           m.row_bytes / static_cast<std::int64_t>(sizeof(E))},
          m.bias};
}

template <Target target, class E>
void CudaBackend<target, E>::multiply(View<const E> in, const Linear& weights,
                                      Activation activation, View<const E> residual, View<E> out) {
  const Layer<E> matrix = layer(weights);
  LinearKernels<target>::template multiply<E>(*stream_, properties_.multiprocessors,
                                              {.in = in,
                                               .weight = matrix.weight,
                                               .bias = matrix.bias,
                                               .activation = activation,
                                               .residual = residual,
                                               .out = out});
}

template <Target target, class E>
void CudaBackend<target, E>::linear(View<const E> in, const Linear& weights, Epilogue epilogue,
                                    View<E> out) {
  if (arena_.measures()) return;
  if (weights.rows == Rows::kTokens) {
    TokenKernels<target>::template linear<E>(*stream_, in, weights.matrix,
                                             epilogue.activation == Activation::kGelu,
                                             epilogue.accumulate, out);
  } else {
    multiply(in, weights, epilogue.activation, epilogue.accumulate ? out : View<E>{}, out);
  }
}

template <Target target, class E>
void CudaBackend<target, E>::conv_ffn(FeatureMap<const E> in, const Depthwise& conv,
                                      const Linear& fc1, const Linear& fc2, FeatureMap<E> out) {
  const Arena::Scope scope(arena_);
  const auto mixed = arena_.template feature_map<E>(in.batch, in.height, in.width, in.channels);
  depthwise(in, conv, Activation::kNone, mixed);
  if constexpr (std::is_same_v<E, BFloat16>) {
    if (FeedForwardKernels<target>::template supports<E>(in.channels, properties_.shared_bytes)) {
      if (arena_.measures()) return;
      FeedForwardKernels<target>::template feed_forward<E>(*stream_, mixed.matrix(), layer(fc1),
                                                           layer(fc2), in.matrix(), out.matrix());
      return;
    }
  }
  const auto hidden = arena_.template matrix<E>(in.batch * in.positions(), fc1.matrix.out);
  if (arena_.measures()) return;
  multiply(mixed.matrix(), fc1, Activation::kGelu, {}, hidden);
  multiply(hidden, fc2, Activation::kNone, in.matrix(), out.matrix());
}

template <Target target, class E>
void CudaBackend<target, E>::layer_norm(View<const E> in, const Norm& weights, View<E> out) {
  if (arena_.measures()) return;
  NormKernels<target>::template layer_norm<E>(*stream_, in, weights.norm.weight, weights.shift,
                                              weights.norm.eps, out);
}

template <Target target, class E>
void CudaBackend<target, E>::image_attention(View<const E> qkv, std::int64_t images,
                                             std::int64_t head_dim, View<E> out) {
  if (!ImageAttentionKernels<target>::supports(head_dim)) {
    throw Error("the CUDA backend has no image attention with head_dim {}: it has 16, 32 and 64",
                head_dim);
  }
  if (arena_.measures()) return;
  ImageAttentionKernels<target>::template attention<E>(*stream_, qkv, images, head_dim, out);
}

template <Target target, class E>
void CudaBackend<target, E>::squeeze_excite(FeatureMap<const E> in, const Linear& reduce,
                                            const Linear& expand, FeatureMap<E> out) {
  const Arena::Scope scope(arena_);
  const auto mean = arena_.template matrix<float>(in.batch, in.channels);
  const auto squeezed = arena_.template matrix<float>(in.batch, reduce.matrix.out);
  if (arena_.measures()) return;
  SqueezeExciteKernels<target>::template squeeze_excite<E>(*stream_, in, layer(reduce),
                                                           layer(expand), mean, squeezed, out);
}

// Decoder
// ------------------------------------------------------------------------------------------

template <Target target, class E>
void CudaBackend<target, E>::embed(std::span<const std::int32_t> ids, const Linear& table,
                                   View<E> out) {
  const Arena::Scope scope(arena_);
  auto* const there = arena_.template allocate<std::int32_t>(std::ssize(ids));
  if (arena_.measures()) return;
  words_->send(*stream_, there, ids.data(), ids.size_bytes());
  EmbedKernels<target>::template embed<E>(*stream_, there, table.matrix, out);
}

template <Target target, class E>
View<E> CudaBackend<target, E>::norm_scratch(View<const E> x) {
  return arena_.template matrix<E>(x.rows, x.cols);
}

template <Target target, class E>
void CudaBackend<target, E>::attention_input(View<const E> x, const Norm& norm, const Linear& qkv,
                                             const AttentionShape& shape, const DecoderBatch& batch,
                                             std::int64_t layer, Cache& cache, View<E> query) {
  const Arena::Scope scope(arena_);
  const auto scratch = norm_scratch(x);
  if (arena_.measures()) return;
  const auto& attention = prepare_attention(shape, cache.shape.pages * kPageTokens);
  TokenKernels<target>::template attention_input<E>(*stream_, x, norm.norm, qkv.matrix, attention,
                                                    on_device(batch), cache.layer(layer), scratch,
                                                    query);
}

template <Target target, class E>
void CudaBackend<target, E>::attention(View<const E> query, const AttentionShape& shape,
                                       const DecoderBatch& batch, std::int64_t layer,
                                       const Cache& cache, View<E> out) {
  if (arena_.measures()) {
    attention_shape_ = shape;
    return;
  }
  const auto& attention = prepare_attention(shape, cache.shape.pages * kPageTokens);
  AttentionKernels<target>::template attention<E>(*stream_, query, attention, on_device(batch),
                                                  cache.layer(layer),
                                                  attention_scratch_.template as<std::byte>(), out);
}

template <Target target, class E>
void CudaBackend<target, E>::swiglu(View<const E> x, const Norm& norm, const Linear& gate_up,
                                    View<E> out) {
  const Arena::Scope scope(arena_);
  const auto scratch = norm_scratch(x);
  if (arena_.measures()) return;
  TokenKernels<target>::template swiglu<E>(*stream_, x, norm.norm, gate_up.matrix, scratch, out);
}

template <Target target, class E>
void CudaBackend<target, E>::logits(View<const E> x, const Norm& norm, const Linear& head,
                                    View<float> out) {
  const Arena::Scope scope(arena_);
  const auto scratch = norm_scratch(x);
  if (arena_.measures()) return;
  TokenKernels<target>::template logits<E>(*stream_, x, norm.norm, head.matrix, scratch, out);
}

template <Target target, class E>
void CudaBackend<target, E>::copy_page(Cache& cache, std::int32_t from, std::int32_t to) {
  const std::int64_t page = 2 * cache.shape.page_elements() * static_cast<std::int64_t>(sizeof(E));
  auto* const pages = cache.memory.template as<std::byte>();
  EmbedKernels<target>::copy_page(*stream_, pages + from * page, pages + to * page, page,
                                  cache.shape.layers, cache.shape.pages * page);
}

}  // namespace fvlm
