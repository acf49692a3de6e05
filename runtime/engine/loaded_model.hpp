// A model with its weights in a backend and the scratch memory it needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <utility>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "fvlm/ops/token_choice.hpp"
#include "kernels/plan/plan.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/backend_runner.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

// Bytes of scratch memory for any pass of the engine, found by running them all without data over
// the backend's arena, which measures.
template <class B>
std::size_t measure_passes(B& backend, const FastVlm<B>& model, const FastVlmConfig& config,
                           const PassLimits& limits) {
  Arena& arena = backend.arena();
  typename B::Cache cache{};
  const auto& text = config.text;
  // What images become stays there for good.
  const auto encoded = arena.template matrix<typename B::Element>(
      limits.images * config.vision.tokens(), text.hidden_size);
  const auto pass = [&](std::int64_t rows, std::int64_t logit_rows, std::int64_t images) {
    const Arena::Scope scope(arena);
    const auto x = arena.template matrix<typename B::Element>(rows, text.hidden_size);
    if (images > 0) {
      const Arena::Scope image_scope(arena);
      const std::vector<Pixels> pictures(static_cast<std::size_t>(images));
      model.embed_images(backend, backend.upload(pictures, config.vision.image_size), encoded);
    }
    DecoderBatch batch;
    batch.add(rows, 0, {});
    model.decoder.forward(backend, batch, cache, x);
    const auto last = arena.template matrix<typename B::Element>(logit_rows, text.hidden_size);
    const auto logits = arena.template matrix<float>(logit_rows, text.vocab_size);
    model.decoder.logits(backend, last, logits);
    if constexpr (ChoosesTokens<B>) backend.choose(logits, {});
    backend.download(logits);
  };
  // Each request of a pass over prompts has a row of its own at least.
  pass(limits.prefill_rows, std::min(limits.prefill_rows, limits.decode_rows), limits.images);
  pass(limits.decode_rows, limits.decode_rows, 0);
  return arena.high_water();
}

// Likewise for one pass of the encoder alone.
template <class B>
std::size_t measure_encoder(B& backend, const FastVlm<B>& model, const FastVlmConfig& config,
                            std::int64_t images) {
  const std::vector<Pixels> pictures(static_cast<std::size_t>(images));
  model.embed_images(
      backend, backend.upload(pictures, config.vision.image_size),
      {nullptr, images * config.vision.tokens(), config.text.hidden_size, config.text.hidden_size});
  return backend.arena().high_water();
}

template <class B>
struct LoadedModel {
  FastVlmConfig config;
  B backend;
  FastVlm<B> model;
  PassLimits limits;
  std::size_t scratch = 0;  // bytes

  // Loads all weights of `checkpoint`; see load_weights.
  LoadedModel(const Checkpoint& checkpoint, B b, const LoadProgress& progress,
              const WarningSink& warn)
      : config(checkpoint.config()),
        backend(std::move(b)),
        model(config),
        limits(pass_limits(config, B::kScratchBudget)) {
    limits.exact_rows = B::kExactRows;
    load_weights(checkpoint, backend, model, progress, warn);
    if constexpr (PlansItself<B>) {
      backend.arena() = Arena::measuring();
      scratch = measure_passes(backend, model, config, limits);
      backend.reserve(scratch);
      backend.beside([&] {
        backend.arena() = Arena::measuring();
        const std::size_t bytes = measure_encoder(backend, model, config, limits.images);
        backend.reserve(bytes);
        scratch += bytes;
      });
    } else {
      scratch = scratch_bytes(config, limits);
      backend.reserve(scratch);
    }
  }
};

}  // namespace fvlm
