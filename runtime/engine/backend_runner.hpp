// The ModelRunner over a backend: the one place where embeddings, layers, logits and the choice of
// tokens follow one another. Backends that compute nothing take the same way, so that the scratch
// memory that is measured is what passes will ask for.
#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "fvlm/ops/token_choice.hpp"
#include "kernels/plan/plan.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

template <Backend B>
class BackendRunner final : public ModelRunner {
 public:
  using E = typename B::Element;

  // `load(backend, model)` gives all parameters their weights. The KV cache gets `cache_pages`.
  template <class Load>
  BackendRunner(const FastVlmConfig& config, B backend, const PassLimits& limits,
                std::int64_t cache_pages, const Load& load)
      : backend_(std::move(backend)), model_(config) {
    facts_ = {.config = config, .limits = limits, .device = {}, .cache_pages = cache_pages};
    load(backend_, model_);
    facts_.device = backend_.description();
    facts_.weight_bytes = backend_.weight_bytes();
    reserve();
    encoded_ = matrix(limits.images * image_tokens());
    cache_ = backend_.make_cache(model_.decoder.cache_shape(cache_pages));
  }

  Pixels pixel_memory(std::size_t bytes) override { return backend_.pixel_memory(bytes); }

  void encode(std::span<const Pixels> pictures, const std::stop_token& stop) override {
    backend_.beside([&] { embed_images(pictures, stop, NoObserver()); });
  }
  bool encoded() const override { return backend_.beside_done(); }
  void wait_until_encoded() override {
    backend_.join();
    backend_.synchronize();
  }

  void encode_observed(const Pixels& picture, const Observer& observe) override {
    embed_images(std::span(&picture, 1), {}, [&](std::string_view name, FeatureMap<E> map) {
      const View<float> rows = backend_.download(map.matrix());
      observe(name, {rows.data, map.batch, map.height, map.width, map.channels});
    });
    const View<float> rows = backend_.download(image(0));
    observe("embeddings", {rows.data, 1, 1, rows.rows, rows.cols});
  }

  PassOutput prefill(const PrefillPass& pass, const NextTokens& next,
                     const std::stop_token& stop) override {
    const Arena::Scope scope(arena());
    const auto x = matrix(pass.batch.rows());
    backend_.join();
    embed(pass.input, x);
    backend_.synchronize();  // so that the time before is the encoder's
    const auto embedded = std::chrono::steady_clock::now();
    model_.decoder.forward(backend_, pass.batch, cache_, x, stop);
    if (pass.last_rows.empty()) return {.embedded = embedded};
    const auto last = matrix(std::ssize(pass.last_rows));
    for (std::int64_t i = 0; i < last.rows; ++i) {
      backend_.copy(x.slice_rows(pass.last_rows[static_cast<std::size_t>(i)], 1),
                    last.slice_rows(i, 1));
    }
    PassOutput output = choose(last, next);
    output.embedded = embedded;
    return output;
  }

  PassOutput decode(std::span<const std::int32_t> ids, const DecoderBatch& batch,
                    const NextTokens& next) override {
    const Arena::Scope scope(arena());
    const auto x = matrix(batch.rows());
    model_.decoder.embed(backend_, ids, x);
    model_.decoder.forward(backend_, batch, cache_, x);
    return choose(x, next);
  }

  bool can_choose(const TokenChoice& choice) const override {
    if constexpr (ChoosesTokens<B>) return B::can_choose(choice);
    return false;
  }

  void copy_page(std::int32_t from, std::int32_t to) override {
    backend_.copy_page(cache_, from, to);
  }

  // For measurements of one part.
  B& backend() { return backend_; }
  const FastVlm<B>& model() const { return model_; }
  // What the first pictures become: [images * tokens, hidden].
  View<E> encoded_images(std::int64_t images) const {
    return encoded_.slice_rows(0, images * image_tokens());
  }

 private:
  Arena& arena() { return backend_.arena(); }
  std::int64_t image_tokens() const { return config().vision.tokens(); }
  View<E> matrix(std::int64_t rows) {
    return arena().template matrix<E>(rows, config().text.hidden_size);
  }
  View<E> image(std::int64_t i) const {
    return encoded_.slice_rows(i * image_tokens(), image_tokens());
  }

  template <class Observe>
  void embed_images(std::span<const Pixels> pictures, const std::stop_token& stop,
                    const Observe& observe) {
    const Arena::Scope scope(arena());
    model_.embed_images(backend_, backend_.upload(pictures, config().vision.image_size),
                        encoded_images(std::ssize(pictures)), stop, observe);
  }

  // x [rows of all input, hidden].
  void embed(const std::vector<PromptRows>& input, View<E> x) {
    std::int64_t row = 0;
    for (const PromptRows& part : input) {
      const bool is_image = part.image >= 0;
      const auto place = x.slice_rows(row, is_image ? image_tokens() : std::ssize(part.ids));
      row += place.rows;
      if (is_image) {
        backend_.copy(image(part.image), place);
      } else {
        model_.decoder.embed(backend_, part.ids, place);
      }
    }
    assert(row == x.rows);
  }

  // The tokens after rows, or their logits: x [rows, hidden] after the decoder's layers.
  PassOutput choose(View<E> x, const NextTokens& next) {
    const auto all = arena().template matrix<float>(x.rows, config().text.vocab_size);
    model_.decoder.logits(backend_, x, all);
    const View<float> logits = all.first_cols(next.vocabulary);
    if constexpr (ChoosesTokens<B>) {
      if (!next.choices.empty()) return {.tokens = backend_.choose(logits, next.choices)};
    }
    return {.logits = backend_.download(logits)};
  }

  // Gives the backend the scratch memory of any pass.
  void reserve() {
    if constexpr (std::is_same_v<B, Plan>) {
      facts_.scratch_bytes = static_cast<std::int64_t>(measure([&] { run_largest_passes(); }));
    } else if constexpr (PlansItself<B>) {
      reserve(measure([&] { run_largest_passes(); }));
      backend_.beside([&] { reserve(measure([&] { embed_most_images(); })); });
    } else {
      reserve(scratch_bytes(config(), limits()));
    }
  }
  void reserve(std::size_t bytes) {
    backend_.reserve(bytes);
    facts_.scratch_bytes += static_cast<std::int64_t>(bytes);
  }
  // Bytes that `work` asks the arena for, which measures.
  template <class Work>
  std::size_t measure(const Work& work) {
    arena() = Arena::measuring();
    work();
    return arena().high_water();
  }
  void embed_most_images() {
    const std::vector<Pixels> pictures(static_cast<std::size_t>(limits().images));
    embed_images(pictures, {}, NoObserver());
  }
  void run_largest_passes() {
    encoded_ = matrix(limits().images * image_tokens());  // stays for good
    embed_most_images();
    const std::int64_t rows = limits().prefill_rows;
    const std::vector<std::int32_t> ids(
        static_cast<std::size_t>(std::max(rows, limits().decode_rows)));
    PrefillPass prompts;
    prompts.input.push_back({.ids = std::span(ids).first(static_cast<std::size_t>(rows))});
    prompts.batch.add(rows, 0, {});
    // Each request of a pass over prompts has a row of its own at least.
    prompts.last_rows.resize(static_cast<std::size_t>(std::min(rows, limits().decode_rows)));
    DecoderBatch answers;
    answers.add(limits().decode_rows, 0, {});
    const std::vector<TokenChoice> choices(static_cast<std::size_t>(limits().decode_rows));
    for (const bool chooses : {false, true}) {
      NextTokens next{.vocabulary = config().text.vocab_size};
      if (chooses) next.choices = std::span(choices).first(prompts.last_rows.size());
      prefill(prompts, next, {});
      if (chooses) next.choices = choices;
      decode(std::span(ids).first(choices.size()), answers, next);
    }
  }

  B backend_;
  FastVlm<B> model_;
  View<E> encoded_;  // what pictures become, [images * tokens, hidden]
  typename B::Cache cache_{};
};

}  // namespace fvlm
