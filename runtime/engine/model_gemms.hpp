// The matrix products of a model's passes, from the backend without data: what `bench --kernels`
// measures one by one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"

namespace fvlm {

struct ModelGemm {
  enum class Stage : std::uint8_t { kEncoder, kPrefill, kDecode };
  Stage stage = Stage::kEncoder;
  std::int64_t size = 0;  // of the pass: images, or rows
  std::string name;       // "ffn", "linear" and "projector" of the encoder; "qkv", "o", "gate_up",
                          // "down" and "head" of the decoder
  PlannedGemm gemm{};
  std::int64_t count = 0;  // of such products in the pass

  // "encoder 8", "prefill 280", "decode 32"
  std::string pass() const {
    constexpr const char* kStages[] = {"encoder", "prefill", "decode"};
    return kStages[static_cast<int>(stage)] + (" " + std::to_string(size));
  }
};

// Passes to list: encoder passes of so many images, a prefill pass, decode steps of so many rows.
struct GemmPasses {
  std::vector<std::int64_t> images{1, 8};
  std::int64_t prefill_rows = 0;
  std::vector<std::int64_t> decode_rows{1, 8, 32, 64};
};

inline std::string name_of_gemm(const PlannedGemm& gemm, ModelGemm::Stage stage) {
  switch (gemm.kind) {
    case PlannedGemm::Kind::kFeedForward:
      return "ffn";
    case PlannedGemm::Kind::kAttentionInput:
      return "qkv";
    case PlannedGemm::Kind::kSwiglu:
      return "gate_up";
    case PlannedGemm::Kind::kLogits:
      return "head";
    case PlannedGemm::Kind::kLinear:
      break;
  }
  if (gemm.weights.rows == Rows::kPositions) return "linear";
  if (stage == ModelGemm::Stage::kEncoder) return "projector";
  return gemm.weights.in == gemm.weights.out ? "o" : "down";
}

// `load(plan, model)` gives a model its weights without data. In the order of the passes; products
// of one pass with the same shape are one.
template <class Load>
std::vector<ModelGemm> model_gemms(const FastVlmConfig& config, const FormatChoice& formats,
                                   const GemmPasses& passes, const Load& load) {
  using Stage = ModelGemm::Stage;
  std::vector<ModelGemm> all;
  const auto list = [&](Stage stage, std::int64_t size, const auto& run) {
    GemmCounter plan(formats);
    FastVlm<GemmCounter> model(config);
    load(plan, model);
    GemmCounter::Context context = GemmCounter::make_context();
    run(plan, context, model);
    const std::size_t first = all.size();
    for (const PlannedGemm& gemm : plan.sink().gemms) {
      const auto same = std::find_if(all.begin() + static_cast<std::ptrdiff_t>(first), all.end(),
                                     [&](const ModelGemm& one) { return one.gemm == gemm; });
      if (same == all.end()) {
        all.push_back({stage, size, name_of_gemm(gemm, stage), gemm, 1});
      } else {
        ++same->count;
      }
    }
  };
  const std::int64_t hidden = config.text.hidden_size;
  for (const std::int64_t images : passes.images) {
    list(Stage::kEncoder, images,
         [&](GemmCounter& plan, GemmCounter::Context& context, FastVlm<GemmCounter>& model) {
           const std::int64_t side = config.vision.image_size;
           model.embed_images(plan, context, {nullptr, images, side, side, 3},
                              {nullptr, images * config.vision.tokens(), hidden, hidden});
         });
  }
  const auto decoder_pass = [&](Stage stage, std::int64_t rows) {
    list(stage, rows,
         [&](GemmCounter& plan, GemmCounter::Context& context, FastVlm<GemmCounter>& model) {
           CacheShape cache;
           DecoderBatch batch;
           batch.add(rows, 0, {});
           const View<float> x{nullptr, rows, hidden, hidden};
           model.decoder.forward(plan, context, batch, cache, x);
           if (stage == Stage::kPrefill) return;  // whose head is that of a decode step
           const std::int64_t vocabulary = config.text.vocab_size;
           model.decoder.logits(plan, context, x, {nullptr, rows, vocabulary, vocabulary});
         });
  };
  decoder_pass(Stage::kPrefill, passes.prefill_rows);
  for (const std::int64_t rows : passes.decode_rows) decoder_pass(Stage::kDecode, rows);
  return all;
}

}  // namespace fvlm
