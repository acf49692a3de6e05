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

// Bytes of scratch memory for any pass of the engine, found by running them all without data.
inline std::size_t scratch_bytes(const FastVlmConfig& config) {
  Plan plan;
  FastVlm<Plan> model(config);
  ShapeLoader<Plan> shapes(plan);
  model.visit(shapes);
  auto cache = plan.make_cache({});
  const auto& text = config.text;
  const auto pass = [&](std::int64_t rows, std::int64_t logit_rows, bool image) {
    const Arena::Scope scope(plan.arena());
    const auto x = plan.arena().matrix<Plan::Element>(rows, text.hidden_size);
    if (image) {
      const std::int64_t side = config.vision.image_size;
      model.embed_images(plan, plan.arena().feature_map<std::uint8_t>(1, side, side, 3),
                         x.slice_rows(0, config.vision.tokens()));
    }
    DecoderBatch batch;
    batch.add(rows, 0, {});
    model.decoder.forward(plan, batch, cache, x);
    model.decoder.logits(plan, x.slice_rows(0, logit_rows),
                         plan.arena().matrix<float>(logit_rows, text.vocab_size));
  };
  pass(max_prefill_rows(config), 1, true);
  pass(kMaxDecodeRows, kMaxDecodeRows, false);
  return plan.arena().high_water();
}

template <class B>
struct LoadedModel {
  FastVlmConfig config;
  B backend;
  FastVlm<B> model;

  // Loads all weights of `checkpoint`; see load_weights.
  LoadedModel(const Checkpoint& checkpoint, B b, const LoadProgress& progress,
              const WarningSink& warn)
      : config(checkpoint.config()), backend(std::move(b)), model(config) {
    load_weights(checkpoint, backend, model, progress, warn);
    backend.reserve(scratch_bytes(config));
  }
};

}  // namespace fvlm
