// A model with its weights in a backend and the scratch memory it needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <utility>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/weights.hpp"

namespace fvlm {

// The most rows of one pass through the decoder; a longer prompt is prefilled in pieces.
inline std::int64_t max_prefill_rows(const FastVlmConfig& config) {
  return std::max<std::int64_t>(512, config.vision.tokens());
}
// The most sequences that decode together.
inline constexpr std::int64_t kMaxDecodeRows = 64;

// Backends with scratch memory of their own, which measure it as WithoutData does: over an arena
// that measures they compute nothing.
template <class B>
concept PlansItself = B::kPlansItself;

// Bytes of scratch memory for any pass of the engine, found by running them all without data over
// the backend's arena, which measures.
template <class B>
std::size_t measure_passes(B& backend, const FastVlm<B>& model, const FastVlmConfig& config) {
  Arena& arena = backend.arena();
  typename B::Cache cache{};
  const auto& text = config.text;
  const auto pass = [&](std::int64_t rows, std::int64_t logit_rows, bool image) {
    const Arena::Scope scope(arena);
    const auto x = arena.template matrix<typename B::Element>(rows, text.hidden_size);
    if (image) {
      const Arena::Scope image_scope(arena);
      const std::int64_t side = config.vision.image_size;
      model.embed_images(backend, backend.upload({nullptr, 1, side, side, 3}),
                         x.slice_rows(0, config.vision.tokens()));
    }
    DecoderBatch batch;
    batch.add(rows, 0, {});
    model.decoder.forward(backend, batch, cache, x);
    const auto logits = arena.template matrix<float>(logit_rows, text.vocab_size);
    model.decoder.logits(backend, x.slice_rows(0, logit_rows), logits);
    backend.download(logits);
  };
  pass(max_prefill_rows(config), 1, true);
  pass(kMaxDecodeRows, kMaxDecodeRows, false);
  return arena.high_water();
}

// The same for backends that need no more than the models ask for, in float32.
inline std::size_t scratch_bytes(const FastVlmConfig& config) {
  Plan plan;
  FastVlm<Plan> model(config);
  ShapeLoader<Plan> shapes(plan);
  model.visit(shapes);
  return measure_passes(plan, model, config);
}

template <class B>
struct LoadedModel {
  FastVlmConfig config;
  B backend;
  FastVlm<B> model;
  std::size_t scratch = 0;  // bytes

  // Loads all weights of `checkpoint`; see load_weights.
  LoadedModel(const Checkpoint& checkpoint, B b, const LoadProgress& progress,
              const WarningSink& warn)
      : config(checkpoint.config()), backend(std::move(b)), model(config) {
    load_weights(checkpoint, backend, model, progress, warn);
    if constexpr (PlansItself<B>) {
      backend.arena() = Arena::measuring();
      scratch = measure_passes(backend, model, config);
    } else {
      scratch = scratch_bytes(config);
    }
    backend.reserve(scratch);
  }
};

}  // namespace fvlm
