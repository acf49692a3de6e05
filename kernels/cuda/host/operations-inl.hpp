// The CUDA backend's operations: scratch memory for each, then its kernels. Scratch is given back
// when an operation returns, before its kernels have run; what gets it next runs after them.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <span>
#include <type_traits>

#include "kernels/cuda/host/cuda.hpp"
#include "kernels/cuda/sampling/sampling.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {

// Encoder
// ------------------------------------------------------------------------------------------

template <Target target, class E>
void CudaBackend<target, E>::stem(FeatureMap<const std::uint8_t> pixels, const Stem& conv,
                                  const Depthwise& depthwise, FeatureMap<E> out) {
  if (arena_.measures()) return;
  StemKernels<target, E>::stem(*stream_, pixels, conv.filters, depthwise.filters, out);
}

template <Target target, class E>
void CudaBackend<target, E>::depthwise(FeatureMap<const E> in, const Depthwise& weights,
                                       Activation activation, FeatureMap<E> out) {
  if (arena_.measures()) return;
  DepthwiseKernels<target, E>::depthwise(*stream_, in, weights.filters, activation, out);
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
  LinearKernels<target, E>::multiply(*stream_, properties_.multiprocessors,
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
    TokenKernels<target, E>::linear(*stream_, in, weights.matrix,
                                    epilogue.activation == Activation::kGelu, epilogue.accumulate,
                                    out);
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
    if (FeedForwardKernels<target, E>::supports(in.channels, properties_.shared_bytes)) {
      if (arena_.measures()) return;
      FeedForwardKernels<target, E>::feed_forward(*stream_, mixed.matrix(), layer(fc1), layer(fc2),
                                                  in.matrix(), out.matrix());
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
  NormKernels<target, E>::layer_norm(*stream_, in, weights.norm.weight, weights.shift,
                                     weights.norm.eps, out);
}

template <Target target, class E>
void CudaBackend<target, E>::image_attention(View<const E> qkv, std::int64_t images,
                                             std::int64_t head_dim, View<E> out) {
  if (!ImageAttentionKernels<target, E>::supports(head_dim)) {
    throw make_error(
        "the CUDA backend has no image attention with head_dim {}: it has 16, 32 and 64", head_dim);
  }
  if (arena_.measures()) return;
  ImageAttentionKernels<target, E>::attention(*stream_, qkv, images, head_dim, out);
}

template <Target target, class E>
void CudaBackend<target, E>::squeeze_excite(FeatureMap<const E> in, const Linear& reduce,
                                            const Linear& expand, FeatureMap<E> out) {
  const Arena::Scope scope(arena_);
  const auto mean = arena_.template matrix<float>(in.batch, in.channels);
  const auto squeezed = arena_.template matrix<float>(in.batch, reduce.matrix.out);
  if (arena_.measures()) return;
  SqueezeExciteKernels<target, E>::squeeze_excite(*stream_, in, layer(reduce), layer(expand), mean,
                                                  squeezed, out);
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
  EmbedKernels<target, E>::embed(*stream_, there, table.matrix, out);
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
  TokenKernels<target, E>::attention_input(*stream_, x, norm.norm, qkv.matrix, attention,
                                           on_device(batch), cache.layer(layer), scratch, query);
}

template <Target target, class E>
void CudaBackend<target, E>::attention(View<const E> query, const AttentionShape& shape,
                                       const DecoderBatch& batch, std::int64_t layer,
                                       const Cache& cache, View<E> out) {
  if (!AttentionKernels<target, E>::supports(shape.head_dim)) {
    throw make_error("the CUDA backend has no attention kernel for head_dim {}: it has {}",
                     shape.head_dim, sizeof(E) == 4 ? "those up to 256" : "16, 32, 64 and 128");
  }
  if (arena_.measures()) {
    attention_shape_ = shape;
    return;
  }
  const auto& attention = prepare_attention(shape, cache.shape.pages * kPageTokens);
  AttentionKernels<target, E>::attention(*stream_, query, attention, on_device(batch),
                                         cache.layer(layer),
                                         attention_scratch_.template as<std::byte>(), out);
}

template <Target target, class E>
void CudaBackend<target, E>::swiglu(View<const E> x, const Norm& norm, const Linear& gate_up,
                                    View<E> out) {
  const Arena::Scope scope(arena_);
  const auto scratch = norm_scratch(x);
  if (arena_.measures()) return;
  TokenKernels<target, E>::swiglu(*stream_, x, norm.norm, gate_up.matrix, scratch, out);
}

template <Target target, class E>
void CudaBackend<target, E>::logits(View<const E> x, const Norm& norm, const Linear& head,
                                    View<float> out) {
  const Arena::Scope scope(arena_);
  const auto scratch = norm_scratch(x);
  if (arena_.measures()) return;
  TokenKernels<target, E>::logits(*stream_, x, norm.norm, head.matrix, scratch, out);
}

template <Target target, class E>
bool CudaBackend<target, E>::can_choose(const TokenChoice& choice) {
  return SamplingKernels<target>::supports(choice.temperature, choice.top_k);
}

// The choices and, if a row has a penalty, a bit for each token of each row's history go to the
// device in one copy.
template <Target target, class E>
std::span<const std::int32_t> CudaBackend<target, E>::choose(View<float> logits,
                                                             std::span<const TokenChoice> choices) {
  using Kernels = SamplingKernels<target>;
  const Arena::Scope scope(arena_);
  const std::int64_t rows = logits.rows;
  const std::int64_t seen_words = (logits.cols + 31) / 32;
  const auto how_bytes = static_cast<std::size_t>(rows) * sizeof(SamplingRow);
  const auto seen_bytes = static_cast<std::size_t>(rows * seen_words) * sizeof(std::uint32_t);
  auto* const there =
      arena_.template allocate<std::byte>(static_cast<std::int64_t>(how_bytes + seen_bytes));
  auto* const scratch =
      arena_.template allocate<std::byte>(Kernels::scratch_bytes(rows, logits.cols));
  auto* const tokens = arena_.template allocate<std::int32_t>(rows);
  const auto token_bytes = static_cast<std::size_t>(rows) * sizeof(std::int32_t);
  if (chosen_.bytes() < token_bytes) chosen_ = PinnedBuffer<target>(token_bytes);
  choices_->reserve(how_bytes + seen_bytes);
  if (arena_.measures()) return {};

  const bool penalised = std::any_of(choices.begin(), choices.end(),
                                     [](const auto& c) { return c.repetition_penalty != 1; });
  const std::size_t bytes = how_bytes + (penalised ? seen_bytes : 0);
  std::byte* const room = choices_->room(bytes);
  auto* const how = reinterpret_cast<SamplingRow*>(room);
  auto* const seen = reinterpret_cast<std::uint32_t*>(room + how_bytes);
  if (penalised) std::fill_n(seen, rows * seen_words, 0U);
  for (std::int64_t r = 0; r < rows; ++r) {
    const TokenChoice& choice = choices[static_cast<std::size_t>(r)];
    how[r] = {.temperature = choice.temperature,
              .top_p = choice.top_p,
              .repetition_penalty = choice.repetition_penalty,
              .draw = choice.draw,
              .top_k = static_cast<std::int32_t>(choice.top_k)};
    if (choice.repetition_penalty == 1) continue;
    for (const std::int32_t token : choice.history) {
      if (token < 0 || token >= logits.cols) continue;
      seen[r * seen_words + token / 32] |= 1U << (token % 32);
    }
  }
  choices_->send(*stream_, there, bytes);
  Kernels::sample(
      *stream_,
      {.logits = logits,
       .how = reinterpret_cast<const SamplingRow*>(there),
       .seen = penalised ? reinterpret_cast<std::uint32_t*>(there + how_bytes) : nullptr,
       .seen_words = seen_words,
       .tokens = tokens},
      scratch);
  stream_->copy_to_host(chosen_.template as<std::int32_t>(), tokens, token_bytes);
  stream_->synchronize();
  return {chosen_.template as<std::int32_t>(), static_cast<std::size_t>(rows)};
}

template <Target target, class E>
void CudaBackend<target, E>::copy_page(Cache& cache, std::int32_t from, std::int32_t to) {
  const std::int64_t page = 2 * cache.shape.page_elements() * static_cast<std::int64_t>(sizeof(E));
  auto* const pages = cache.memory.template as<std::byte>();
  EmbedKernels<target, E>::copy_page(*stream_, pages + from * page, pages + to * page, page,
                                     cache.shape.layers, cache.shape.pages * page);
}

}  // namespace fvlm
