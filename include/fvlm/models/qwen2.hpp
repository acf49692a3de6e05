// The Qwen2 decoder: pre-norm layers of grouped-query attention (GQA) with rotary embeddings (RoPE;
// biases on q, k and v only) and a SwiGLU feed-forward, over a paged KV cache.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fvlm/models/config.hpp"
#include "fvlm/models/module.hpp"
#include "fvlm/ops/backend.hpp"

namespace fvlm {

template <DecoderBackend B>
class Qwen2Layer {
 public:
  using E = typename B::Element;

  explicit Qwen2Layer(const Qwen2Config& c)
      : input_norm_({.channels = c.hidden_size, .eps = c.rms_norm_eps}),
        qkv_(
            {.in = c.hidden_size,
             .parts = {{"q_proj", c.hidden_size}, {"k_proj", c.kv_size()}, {"v_proj", c.kv_size()}},
             .rows = Rows::kTokens,
             .after_norm = true}),
        output_({.in = c.hidden_size,
                 .parts = {{"", c.hidden_size}},
                 .bias = false,
                 .rows = Rows::kTokens}),
        mlp_norm_({.channels = c.hidden_size, .eps = c.rms_norm_eps}),
        gate_up_({.in = c.hidden_size,
                  .parts = {{"gate_proj", c.intermediate_size}, {"up_proj", c.intermediate_size}},
                  .bias = false,
                  .rows = Rows::kTokens,
                  .after_norm = true}),
        down_({.in = c.intermediate_size,
               .parts = {{"", c.hidden_size}},
               .bias = false,
               .rows = Rows::kTokens}) {}

  template <class V>
  void visit(V& visitor) {
    visitor("input_layernorm", input_norm_);
    visitor("self_attn", qkv_);
    visitor("self_attn.o_proj", output_);
    visitor("post_attention_layernorm", mlp_norm_);
    visitor("mlp", gate_up_);
    visitor("mlp.down_proj", down_);
  }

  // x [rows, hidden] is the residual stream, changed in place.
  void run(B& backend, typename B::Context& context, const AttentionShape& shape,
           const DecoderBatch& batch, std::int64_t layer, typename B::Cache& cache,
           View<E> x) const {
    const Arena::Scope scope(context.arena());
    const auto query = context.arena().template matrix<E>(x.rows, x.cols);
    const auto mixed = context.arena().template matrix<E>(x.rows, x.cols);
    const auto hidden = context.arena().template matrix<E>(x.rows, down_.spec.in);
    backend.attention_input(context, x, input_norm_.weights, qkv_.weights, shape, batch, layer,
                            cache, query);
    backend.attention(context, query, shape, batch, layer, cache, mixed);
    backend.linear(context, mixed, output_.weights, {.accumulate = true}, x);
    backend.swiglu(context, x, mlp_norm_.weights, gate_up_.weights, hidden);
    backend.linear(context, hidden, down_.weights, {.accumulate = true}, x);
  }

 private:
  Norm<B> input_norm_;
  Linear<B> qkv_;
  Linear<B> output_;
  Norm<B> mlp_norm_;
  Linear<B> gate_up_;
  Linear<B> down_;
};

template <DecoderBackend B>
class Qwen2 {
 public:
  using E = typename B::Element;

  explicit Qwen2(const Qwen2Config& config)
      : config_(config),
        shape_{config.heads, config.kv_heads, config.head_dim(), config.rope_theta},
        embedding_({.in = config.hidden_size,
                    .parts = {{"", config.vocab_size}},
                    .bias = false,
                    .rows = Rows::kTokens,
                    .role = Role::kEmbedding}),
        norm_({.channels = config.hidden_size, .eps = config.rms_norm_eps}) {
    for (std::int64_t i = 0; i < config.layers; ++i) layers_.emplace_back(config);
    if (!config.tie_word_embeddings) {
      head_.emplace(LinearSpec{.in = config.hidden_size,
                               .parts = {{"", config.vocab_size}},
                               .bias = false,
                               .rows = Rows::kTokens});
    }
  }

  // Names as in the checkpoint; the head, if untied, is beside "model".
  template <class V>
  void visit(V& visitor) {
    visitor("model.embed_tokens", embedding_);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      visitor("model.layers." + std::to_string(i), layers_[i]);
    }
    visitor("model.norm", norm_);
    if (head_) visitor("lm_head", *head_);
  }

  // Rows of the embedding for `ids`: out [ids, hidden].
  void embed(B& backend, typename B::Context& context, std::span<const std::int32_t> ids,
             View<E> out) const {
    backend.embed(context, ids, embedding_.weights, out);
  }

  // Forward pass: all layers over the rows of a batch, x [rows, hidden], in place; writes the KV
  // cache. Throws Stopped between layers.
  void forward(B& backend, typename B::Context& context, const DecoderBatch& batch,
               typename B::Cache& cache, View<E> x, const std::stop_token& stop = {}) const {
    backend.run_pass(context, batch, cache, x, [&] {
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        stop_if_requested(stop);
        layers_[i].run(backend, context, shape_, batch, static_cast<std::int64_t>(i), cache, x);
      }
    });
  }

  // The logits of some rows after forward: x [rows, hidden] -> out [rows, vocab].
  void logits(B& backend, typename B::Context& context, View<const E> x, View<float> out) const {
    backend.logits(context, x, norm_.weights, head_ ? head_->weights : embedding_.weights, out);
  }

  // A KV cache of so many pages.
  typename B::Cache make_cache(B& backend, std::int64_t pages) const {
    return backend.make_cache({config_.layers, pages, config_.kv_heads, config_.head_dim()},
                              shape_);
  }
  const Qwen2Config& config() const { return config_; }

 private:
  Qwen2Config config_;
  AttentionShape shape_;
  Linear<B> embedding_;
  std::vector<Qwen2Layer<B>> layers_;
  Norm<B> norm_;
  std::optional<Linear<B>> head_;  // absent: tied to the embedding
};

}  // namespace fvlm
