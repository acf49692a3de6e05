// The CUDA backend's operations: the scratch memory of each, then its kernels. Scratch is given
// back when an operation returns, before its kernels have run; what gets it next runs after them.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/cuda/host/cuda.hpp"
#include "kernels/cuda/sampling/sampling.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {

// Encoder
// ------------------------------------------------------------------------------------------

template <Target target, class E>
FeatureMap<std::uint8_t> CudaBackend<target, E>::scratch(Arena& arena,
                                                         const UploadShape& shape) const {
  return arena.feature_map<std::uint8_t>(shape.images, shape.side, shape.side, 3);
}

template <Target target, class E>
void CudaBackend<target, E>::stem(Context& context, FeatureMap<const std::uint8_t> pixels,
                                  const Stem& conv, const Depthwise& depthwise, FeatureMap<E> out) {
  StemKernels<target, E>::stem(context.stream(), pixels, conv.filters, depthwise.filters, out);
}

template <Target target, class E>
void CudaBackend<target, E>::depthwise(Context& context, FeatureMap<const E> in,
                                       const Depthwise& weights, Activation activation,
                                       FeatureMap<E> out) {
  DepthwiseKernels<target, E>::depthwise(context.stream(), in, weights.filters, activation, out);
}

template <Target target, class E>
Layer<E> CudaBackend<target, E>::layer(const Linear& linear) const {
  const DeviceMatrix& m = linear.matrix;
  assert(linear.shape.rows == Rows::kPositions);
  return {{reinterpret_cast<const E*>(m.weight), m.out, m.in,
           m.row_bytes / static_cast<std::int64_t>(sizeof(E))},
          m.bias};
}

template <Target target, class E>
void CudaBackend<target, E>::multiply(Context& context, View<const E> in, const Linear& weights,
                                      Activation activation, View<const E> residual, View<E> out,
                                      float* sums, const FoldedNorm& norm) {
  const Layer<E> matrix = layer(weights);
  LinearKernels<target, E>::multiply(
      context.stream(), device_shape(),
      {.in = in,
       .weight = matrix.weight,
       .bias = matrix.bias,
       .activation = activation,
       .residual = residual,
       .out = out,
       .tile = tile_of({in.rows, weights.shape.out, weights.shape.in,
                        activation == Activation::kGelu, residual.data != nullptr}),
       .norm = norm,
       .split = {sums, context.split_counters()}});
}

template <Target target, class E>
TokenRoute CudaBackend<target, E>::token_route(const Context& context, GemmKey::Kind kind,
                                               std::int64_t rows, const Linear& weights,
                                               Epilogue epilogue) const {
  const TokenPass pass = context.token_pass();
  if (pass == TokenPass::kDecode) return pass;
  const MatrixShape& shape = weights.shape;
  return {pass, tile_of({counted_rows(rows), shape.out, shape.in,
                         epilogue.activation == Activation::kGelu, epilogue.accumulate, kind,
                         shape.format.type})};
}

template <Target target, class E>
void CudaBackend<target, E>::linear(Context& context, View<const E> in, const Linear& weights,
                                    Epilogue epilogue, View<E> out) {
  const Arena::Scope scope(context.arena());
  float* const sums = scratch(context.arena(), LinearShape{in.rows, weights.shape});
  if (weights.shape.rows == Rows::kTokens) {
    TokenKernels<target, E>::linear(
        context.stream(), device_shape(),
        token_route(context, GemmKey::Kind::kTokens, in.rows, weights, epilogue), in,
        weights.matrix, epilogue.activation == Activation::kGelu, epilogue.accumulate,
        {sums, context.split_counters()}, out);
  } else {
    multiply(context, in, weights, epilogue.activation, epilogue.accumulate ? out : View<E>{}, out,
             sums);
  }
}

template <Target target, class E>
auto CudaBackend<target, E>::scratch(Arena& arena, const ConvFfnShape& shape) const
    -> ConvFfnScratch {
  const auto mixed =
      arena.template feature_map<E>(shape.images, shape.height, shape.width, shape.channels());
  if (fuses_feed_forward(shape.channels())) return {mixed, {}, nullptr};
  const auto floats = [&](const MatrixShape& weight) {
    return LinearKernels<target, E>::split_floats(shape.positions(), weight);
  };
  return {mixed, arena.template matrix<E>(shape.positions(), shape.fc1.out),
          arena.template allocate<float>(std::max(floats(shape.fc1), floats(shape.fc2)))};
}

template <Target target, class E>
void CudaBackend<target, E>::conv_ffn(Context& context, FeatureMap<const E> in,
                                      const Depthwise& conv, const Linear& fc1, const Linear& fc2,
                                      FeatureMap<E> out) {
  const Arena::Scope scope(context.arena());
  const ConvFfnScratch room =
      scratch(context.arena(), ConvFfnShape{in.batch, in.height, in.width, fc1.shape, fc2.shape});
  depthwise(context, in, conv, Activation::kNone, room.mixed);
  feed_forward(context, room.mixed.matrix(), fc1, fc2, in.matrix(), room, out.matrix());
}

template <Target target, class E>
bool CudaBackend<target, E>::fuses_feed_forward(std::int64_t channels) const {
  return FeedForwardKernels<target, E>::supports(channels, device_shape());
}

template <Target target, class E>
void CudaBackend<target, E>::feed_forward(Context& context, View<const E> in, const Linear& fc1,
                                          const Linear& fc2, View<const E> residual,
                                          const ConvFfnScratch& room, View<E> out) {
  if (room.hidden.data == nullptr) {
    FeedForwardKernels<target, E>::feed_forward(context.stream(), in, layer(fc1), layer(fc2),
                                                residual, out);
    return;
  }
  multiply(context, in, fc1, Activation::kGelu, {}, room.hidden, room.sums);
  multiply(context, room.hidden, fc2, Activation::kNone, residual, out, room.sums);
}

template <Target target, class E>
void CudaBackend<target, E>::layer_norm(Context& context, View<const E> in, const Norm& weights,
                                        View<E> out) {
  NormKernels<target, E>::layer_norm(context.stream(), in, weights.norm.weight, weights.shift,
                                     weights.norm.eps, out);
}

template <Target target, class E>
bool CudaBackend<target, E>::normed_linear(Context& context, View<const E> in, const Norm& norm,
                                           const Linear& weights, View<E> out) {
  if (!norm.norm.folded) return false;
  multiply(context, in, weights, Activation::kNone, {}, out, nullptr,
           {norm.norm.eps, weights.row_sums.template as<float>()});
  return true;
}

template <Target target, class E>
void CudaBackend<target, E>::image_attention(Context& context, View<const E> qkv,
                                             std::int64_t images, std::int64_t head_dim,
                                             View<E> out) {
  if (!ImageAttentionKernels<target, E>::supports(head_dim)) {
    throw make_error(
        "the CUDA backend has no image attention with head_dim {}: it has 16, 32 and 64", head_dim);
  }
  ImageAttentionKernels<target, E>::attention(context.stream(), qkv, images, head_dim, out);
}

template <Target target, class E>
auto CudaBackend<target, E>::scratch(Arena& arena, const SqueezeExciteShape& shape) const
    -> SqueezeExciteScratch {
  return {arena.matrix<float>(shape.images, shape.reduce.in),
          arena.matrix<float>(shape.images, shape.reduce.out)};
}

template <Target target, class E>
void CudaBackend<target, E>::squeeze_excite(Context& context, FeatureMap<const E> in,
                                            const Linear& reduce, const Linear& expand,
                                            FeatureMap<E> out) {
  const Arena::Scope scope(context.arena());
  const auto [mean, squeezed] =
      scratch(context.arena(), SqueezeExciteShape{in.batch, reduce.shape, expand.shape});
  SqueezeExciteKernels<target, E>::squeeze_excite(context.stream(), in, layer(reduce),
                                                  layer(expand), mean, squeezed, out);
}

// Decoder
// ------------------------------------------------------------------------------------------

template <Target target, class E>
std::int32_t* CudaBackend<target, E>::scratch(Arena& arena, const EmbedShape& shape) const {
  return arena.template allocate<std::int32_t>(shape.ids);
}

template <Target target, class E>
void CudaBackend<target, E>::embed(Context& context, std::span<const std::int32_t> ids,
                                   const Linear& table, View<E> out) {
  const Arena::Scope scope(context.arena());
  auto* const there = scratch(context.arena(), EmbedShape{std::ssize(ids), table.shape});
  context.send(there, ids.data(), ids.size_bytes());
  EmbedKernels<target, E>::embed(context.stream(), there, table.matrix, out);
}

template <Target target, class E>
float* CudaBackend<target, E>::scratch(Arena& arena, const LinearShape& shape) const {
  return arena.template allocate<float>(
      shape.weights.rows == Rows::kTokens
          ? TokenKernels<target, E>::linear_floats(shape.rows, shape.weights)
          : LinearKernels<target, E>::split_floats(shape.rows, shape.weights));
}
template <Target target, class E>
auto CudaBackend<target, E>::token_scratch(Arena& arena, std::int64_t rows,
                                           const MatrixShape& weights) const -> TokenScratch {
  return {.normed = arena.template matrix<E>(rows, weights.in),
          .split = {.sums = arena.template allocate<float>(
                        TokenKernels<target, E>::split_floats(rows, weights))}};
}
template <Target target, class E>
auto CudaBackend<target, E>::scratch(Arena& arena, const AttentionInputShape& shape) const
    -> TokenScratch {
  return token_scratch(arena, shape.rows, shape.qkv);
}
template <Target target, class E>
auto CudaBackend<target, E>::scratch(Arena& arena, const SwigluShape& shape) const -> TokenScratch {
  return token_scratch(arena, shape.rows, shape.gate_up);
}
template <Target target, class E>
auto CudaBackend<target, E>::scratch(Arena& arena, const LogitsShape& shape) const -> TokenScratch {
  return token_scratch(arena, shape.rows, shape.head);
}

template <Target target, class E>
void CudaBackend<target, E>::attention_input(Context& context, View<const E> x, const Norm& norm,
                                             const Linear& qkv, const AttentionShape&,
                                             const DecoderBatch& batch, std::int64_t layer,
                                             Cache& cache, View<E> query) {
  const Arena::Scope scope(context.arena());
  auto room = scratch(context.arena(), AttentionInputShape{x.rows, qkv.shape});
  room.split.counters = context.split_counters();
  const DeviceBatch there = context.on_device(batch, kSingleRows);
  TokenKernels<target, E>::attention_input(
      context.stream(), device_shape(),
      token_route(context, GemmKey::Kind::kAttentionInput, x.rows, qkv), x, norm.norm, qkv.matrix,
      cache.attention, there, cache.layer(layer), room, query);
}

template <Target target, class E>
void CudaBackend<target, E>::attention(Context& context, View<const E> query,
                                       const AttentionShape& shape, const DecoderBatch& batch,
                                       std::int64_t layer, const Cache& cache, View<E> out) {
  if (!AttentionKernels<target, E>::supports(shape.head_dim)) {
    throw make_error("the CUDA backend has no attention kernel for head_dim {}: it has {}",
                     shape.head_dim, sizeof(E) == 4 ? "those up to 256" : "16, 32, 64 and 128");
  }
  AttentionKernels<target, E>::attention(context.stream(), query, cache.attention,
                                         context.on_device(batch, kSingleRows), cache.layer(layer),
                                         cache.sums, out);
}

template <Target target, class E>
void CudaBackend<target, E>::swiglu(Context& context, View<const E> x, const Norm& norm,
                                    const Linear& gate_up, View<E> out) {
  const Arena::Scope scope(context.arena());
  auto room = scratch(context.arena(), SwigluShape{x.rows, gate_up.shape});
  room.split.counters = context.split_counters();
  TokenKernels<target, E>::swiglu(context.stream(), device_shape(),
                                  token_route(context, GemmKey::Kind::kSwiglu, x.rows, gate_up), x,
                                  norm.norm, gate_up.matrix, room, out);
}

template <Target target, class E>
void CudaBackend<target, E>::logits(Context& context, View<const E> x, const Norm& norm,
                                    const Linear& head, View<float> out) {
  const Arena::Scope scope(context.arena());
  auto room = scratch(context.arena(), LogitsShape{x.rows, head.shape});
  room.split.counters = context.split_counters();
  TokenKernels<target, E>::logits(context.stream(), device_shape(), x, norm.norm, head.matrix, room,
                                  out);
}

template <Target target, class E>
bool CudaBackend<target, E>::can_sample(const SamplingParams& row) {
  return SamplingKernels<target>::supports(row.temperature, row.top_k);
}

template <Target target, class E>
auto CudaBackend<target, E>::scratch(Arena& arena, const SampleShape& shape) const
    -> SampleScratch {
  const auto bytes =
      static_cast<std::int64_t>(Context::sampling_bytes(shape.rows, shape.vocabulary));
  return {arena.allocate<std::byte>(bytes),
          arena.allocate<std::byte>(
              SamplingKernels<target>::scratch_bytes(shape.rows, shape.vocabulary)),
          arena.allocate<std::int32_t>(shape.rows)};
}

// Adjustments, parameters and masks go to the device in one copy; of very many adjustments the
// first ones before that.
template <Target target, class E>
std::span<const std::int32_t> CudaBackend<target, E>::sample(
    Context& context, View<float> logits, std::span<const SamplingParams> params) {
  const Arena::Scope scope(context.arena());
  const auto rows = static_cast<std::size_t>(logits.rows);
  const auto there = scratch(context.arena(), SampleShape{logits.rows, logits.cols});
  std::vector<RowAdjustment> adjustments;
  for (std::size_t r = 0; r < rows; ++r) {
    for (const LogitAdjustment& by : params[r].adjustments) {
      if (by.token < 0 || by.token >= logits.cols) continue;
      adjustments.push_back({static_cast<std::int64_t>(r), by});
    }
  }
  std::span<const RowAdjustment> left = adjustments;
  const auto adjust = [&](std::size_t count) {
    SamplingKernels<target>::adjust(context.stream(), logits,
                                    reinterpret_cast<const RowAdjustment*>(there.params),
                                    static_cast<std::int64_t>(count));
    left = left.subspan(count);
  };
  const std::size_t at_a_time = rows * Context::kAdjustmentsOfRow;
  while (left.size() > at_a_time) {
    const std::span<const RowAdjustment> some = left.first(at_a_time);
    context.sampling().send(context.stream(), there.params, some.data(), some.size_bytes());
    adjust(at_a_time);
  }

  const auto masks = static_cast<std::size_t>(
      std::ranges::count_if(params, [](const auto& row) { return !row.allowed.empty(); }));
  const auto mask_words = static_cast<std::size_t>(token_mask_words(logits.cols));
  const std::size_t how_at = left.size_bytes();
  const std::size_t masks_at = how_at + rows * sizeof(SamplingRow);
  const std::size_t bytes = masks_at + masks * mask_words * sizeof(std::uint32_t);
  std::byte* const room = context.sampling().room(bytes);
  std::ranges::copy(left, reinterpret_cast<RowAdjustment*>(room));
  auto* mask = reinterpret_cast<std::uint32_t*>(room + masks_at);
  std::int32_t next_mask = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const SamplingParams& row = params[r];
    const bool masked = !row.allowed.empty();
    reinterpret_cast<SamplingRow*>(room + how_at)[r] = {
        .temperature = row.temperature,
        .top_p = row.top_p,
        .min_p = row.min_p,
        .draw = row.draw,
        .top_k = static_cast<std::int32_t>(row.top_k),
        .mask = masked ? next_mask++ : -1};
    if (masked) mask = std::ranges::copy(row.allowed.first(mask_words), mask).out;
  }
  context.sampling().send(context.stream(), there.params, bytes);
  adjust(left.size());
  SamplingKernels<target>::sample(
      context.stream(),
      {.logits = logits,
       .how = reinterpret_cast<const SamplingRow*>(there.params + how_at),
       .masks = reinterpret_cast<const std::uint32_t*>(there.params + masks_at),
       .tokens = there.tokens},
      there.sums);
  return context.fetch(there.tokens, logits.rows);
}

template <Target target, class E>
void CudaBackend<target, E>::copy_page(Context& context, Cache& cache, std::int32_t from,
                                       std::int32_t to) {
  const std::int64_t page = 2 * cache.shape.page_elements() * static_cast<std::int64_t>(sizeof(E));
  auto* const pages = cache.memory.template as<std::byte>();
  EmbedKernels<target, E>::copy_page(context.stream(), pages + from * page, pages + to * page, page,
                                     cache.shape.layers, cache.shape.pages * page);
}

}  // namespace fvlm
