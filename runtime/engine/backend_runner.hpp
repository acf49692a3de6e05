// The ModelRunner over a backend: a loaded model, and its passes on contexts as large as they need.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>

#include "fvlm/models/fastvlm.hpp"
#include "fvlm/ops/sampling.hpp"
#include "runtime/engine/backend_passes.hpp"
#include "runtime/engine/context_plan.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

template <EngineBackend B>
class BackendRunner final : public ModelRunner {
 public:
  using E = typename B::Element;

  // `load(backend, model)` gives all parameters their weights. The KV cache gets `cache_pages`.
  template <class Load>
  BackendRunner(const FastVlmConfig& config, B backend, const PassLimits& limits,
                std::int64_t cache_pages, const Load& load)
      : backend_(std::move(backend)), model_(config) {
    load(backend_, model_);
    const ContextSizes sizes = plan_contexts_of(backend_, model_, config, limits, cache_pages);
    facts_ = {.config = config,
              .limits = limits,
              .device = backend_.description(),
              .weight_bytes = backend_.weight_bytes(),
              .scratch_bytes = sizes.scratch_bytes(),
              .cache_pages = cache_pages};
    passes_.emplace(backend_, model_, facts_.config, limits, sizes, cache_pages);
  }

  Pixels pixel_memory(std::size_t bytes) override { return backend_.pixel_memory(bytes); }

  void encode(std::span<const Pixels> pictures, const std::stop_token& stop) override {
    passes_->encode(pictures, stop);
  }
  bool encoded() const override { return passes_->encoder().done(); }
  void wait_until_encoded() override { passes_->encoder().synchronize(); }

  void encode_observed(const Pixels& picture, const Observer& observe) override {
    auto& context = passes_->encoder();
    passes_->encode(std::span(&picture, 1), {}, [&](std::string_view name, FeatureMap<E> map) {
      const View<float> rows = backend_.download(context, map.matrix());
      observe(name, {rows.data, map.batch, map.height, map.width, map.channels});
    });
    const View<float> rows = backend_.download(context, passes_->encoded_images(1));
    observe("embeddings", {rows.data, 1, 1, rows.rows, rows.cols});
  }

  PassOutput prefill(const PrefillPass& pass, const NextTokens& next,
                     const std::stop_token& stop) override {
    return passes_->prefill(pass, next, stop);
  }
  PassOutput decode(std::span<const std::int32_t> ids, const DecoderBatch& batch,
                    const NextTokens& next) override {
    return passes_->decode(ids, batch, next);
  }
  bool can_sample(const SamplingParams& params) const override {
    if constexpr (SamplesTokens<B>) return B::can_sample(params);
    return false;
  }

  void copy_page(std::int32_t from, std::int32_t to) override { passes_->copy_page(from, to); }

  // For measurements of one part.
  B& backend() { return backend_; }
  const FastVlm<B>& model() const { return model_; }
  BackendPasses<B>& passes() { return *passes_; }

 private:
  B backend_;
  FastVlm<B> model_;
  std::optional<BackendPasses<B>> passes_;
};

}  // namespace fvlm
