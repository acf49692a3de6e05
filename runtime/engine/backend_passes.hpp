// The passes of a model over a backend: the one place where embeddings, layers, logits and the
// choice of tokens follow one another. Images are encoded on a context of their own, beside the
// decoder's where the backend overlaps work. A backend without data takes the same way, which says
// how much memory the contexts need (context_plan.hpp).
#pragma once

#include <cassert>
#include <chrono>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "fvlm/ops/sampling.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

struct ContextSizes {
  ContextSize encoder{};
  ContextSize decoder{};

  std::int64_t scratch_bytes() const {
    return static_cast<std::int64_t>(encoder.scratch_bytes + decoder.scratch_bytes);
  }
};

template <Backend B>
class BackendPasses {
 public:
  using E = typename B::Element;
  using Context = typename B::Context;

  // All but the sizes must outlive the passes.
  BackendPasses(B& backend, const FastVlm<B>& model, const FastVlmConfig& config,
                const PassLimits& limits, const ContextSizes& sizes, std::int64_t cache_pages)
      : backend_(backend),
        model_(model),
        config_(config),
        encoder_(backend.make_context(sizes.encoder)),
        decoder_(backend.make_context(sizes.decoder)),
        encoded_(matrix(limits.images * image_tokens())),
        kept_(matrix(limits.kept_images * image_tokens())),
        cache_(model.decoder.make_cache(backend, cache_pages)) {}

  // As those of ModelRunner.
  template <class Observe = NoObserver>
  void encode(std::span<const Pixels> pictures, const std::stop_token& stop,
              const Observe& observe = {}) {
    encoder_.wait_for(decoder_);  // which may yet read what this overwrites
    const Arena::Scope scope(encoder_.arena());
    model_.embed_images(backend_, encoder_,
                        backend_.upload(encoder_, pictures, config_.vision.image_size),
                        encoded_images(std::ssize(pictures)), stop, observe);
  }

  PassOutput prefill(const PrefillPass& pass, const NextTokens& next, const std::stop_token& stop) {
    const Arena::Scope scope(arena());
    const auto x = matrix(pass.batch.rows());
    decoder_.wait_for(encoder_);
    embed(pass.input, x);
    for (const KeptImage& one : pass.keep) {
      backend_.copy(decoder_, image_rows(encoded_, one.image), image_rows(kept_, one.place));
    }
    decoder_.synchronize();  // so that the time before is the encoder's
    const auto embedded = std::chrono::steady_clock::now();
    DecoderBatch batch = pass.batch;
    batch.is_prefill = true;
    model_.decoder.forward(backend_, decoder_, batch, cache_, x, stop);
    if (pass.last_rows.empty()) return {.embedded = embedded};
    const auto last = matrix(std::ssize(pass.last_rows));
    for (std::int64_t i = 0; i < last.rows; ++i) {
      backend_.copy(decoder_, x.slice_rows(pass.last_rows[static_cast<std::size_t>(i)], 1),
                    last.slice_rows(i, 1));
    }
    PassOutput output = sample(last, next);
    output.embedded = embedded;
    return output;
  }

  PassOutput decode(std::span<const std::int32_t> ids, const DecoderBatch& batch,
                    const NextTokens& next) {
    const Arena::Scope scope(arena());
    const auto x = matrix(batch.rows());
    model_.decoder.embed(backend_, decoder_, ids, x);
    model_.decoder.forward(backend_, decoder_, batch, cache_, x);
    return sample(x, next);
  }

  void copy_page(std::int32_t from, std::int32_t to) {
    backend_.copy_page(decoder_, cache_, from, to);
  }

  Context& encoder() { return encoder_; }
  const Context& encoder() const { return encoder_; }
  Context& decoder() { return decoder_; }
  // What the first pictures become: [images * tokens, hidden].
  View<E> encoded_images(std::int64_t images) const {
    return encoded_.slice_rows(0, images * image_tokens());
  }

 private:
  Arena& arena() { return decoder_.arena(); }
  std::int64_t image_tokens() const { return config_.vision.tokens(); }
  View<E> matrix(std::int64_t rows) {
    return arena().template matrix<E>(rows, config_.text.hidden_size);
  }

  View<E> image_rows(View<E> images, std::int64_t image) const {
    return images.slice_rows(image * image_tokens(), image_tokens());
  }

  // x [rows of all input, hidden].
  void embed(const std::vector<PromptRows>& input, View<E> x) {
    std::int64_t row = 0;
    for (const PromptRows& part : input) {
      const bool is_image = part.image >= 0 || part.kept >= 0;
      const auto place = x.slice_rows(row, is_image ? image_tokens() : std::ssize(part.ids));
      row += place.rows;
      if (is_image) {
        backend_.copy(
            decoder_,
            part.image >= 0 ? image_rows(encoded_, part.image) : image_rows(kept_, part.kept),
            place);
      } else {
        model_.decoder.embed(backend_, decoder_, part.ids, place);
      }
    }
    assert(row == x.rows);
  }

  // The tokens after rows, or their logits: x [rows, hidden] after the decoder's layers.
  PassOutput sample(View<E> x, const NextTokens& next) {
    const auto all = arena().template matrix<float>(x.rows, config_.text.vocab_size);
    model_.decoder.logits(backend_, decoder_, x, all);
    const View<float> logits = all.first_cols(next.vocabulary);
    if constexpr (SamplesTokens<B>) {
      if (!next.sampling.empty())
        return {.tokens = backend_.sample(decoder_, logits, next.sampling)};
    }
    return {.logits = backend_.download(decoder_, logits)};
  }

  B& backend_;
  const FastVlm<B>& model_;
  const FastVlmConfig& config_;
  Context encoder_;
  Context decoder_;
  // What pictures become, [images * tokens, hidden], in the decoder's arena: those of the last
  // encode(), and some of before.
  View<E> encoded_;
  View<E> kept_;
  typename B::Cache cache_;
};

}  // namespace fvlm
