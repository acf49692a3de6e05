// The passes of a model over several requests each: their images are encoded, their prompts read
// and their answers continued, in a KV cache. Which requests go together is decided elsewhere
// (passes.hpp). For the engine's thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "fvlm/ops/token_choice.hpp"
#include "runtime/engine/guarded.hpp"
#include "runtime/engine/kv_cache.hpp"
#include "runtime/engine/loaded_model.hpp"
#include "runtime/engine/reading.hpp"

namespace fvlm {

template <class B>
class ModelPasses {
 public:
  using E = typename B::Element;

  // `eos` are the tokens that end an answer, `tokens` how many there are: the model may have logits
  // beyond, for ids that no token has.
  ModelPasses(LoadedModel<B>& loaded, KvCache<B>& cache, std::vector<std::int32_t> eos,
              std::int64_t tokens)
      : loaded_(loaded),
        backend_(loaded.backend),
        cache_(cache),
        eos_(std::move(eos)),
        tokens_(tokens),
        encoded_(backend_.arena().template matrix<E>(loaded.limits.images * image_tokens(),
                                                     text().hidden_size)) {}

  // Names the positions of a request's prompt and takes over what is cached of it.
  void prepare(Generation& g) {
    for (Turn& turn : g.request.conversation) {
      for (Picture& picture : turn.images) {
        g.statistics.preprocess_s += picture.seconds;
        g.images.push_back(std::move(picture));
      }
    }
    g.request.conversation.clear();
    for (const PromptSpan& span : g.spans) {
      for (std::int64_t i = 0; i < span.rows; ++i) {
        g.keys.push_back(span.image < 0
                             ? token_key(g.ids[static_cast<std::size_t>(span.first_id + i)])
                             : image_key(g.images[static_cast<std::size_t>(span.image)].hash, i));
      }
    }
    Sequence sequence = cache_.begin(g.keys, g.spans);
    g.prefilled = g.statistics.cached_tokens = sequence.length();
    g.hypotheses.push_back({std::move(sequence), {}, 0});
  }

  // Encodes the images of prompts, perhaps beside what is done until read(). Throws Stopped.
  void encode(const Reading& reading, const std::stop_token& stop) {
    const auto& images = reading.images();
    if (images.empty()) return;
    const auto count = std::ssize(images);
    backend_.beside([&] {
      const Arena::Scope scope(backend_.arena());
      loaded_.model.embed_images(backend_,
                                 backend_.upload(images, loaded_.config.vision.image_size),
                                 encoded_.slice_rows(0, count * image_tokens()), stop);
    });
    counters_.encoder_batches.add(static_cast<double>(count));
  }
  // Whether read() need not wait for the images.
  bool encoded() const { return backend_.beside_done(); }

  // Runs these rows of prompts through the decoder; those that end with them get their first
  // token. Throws Stopped, and Error.
  void read(const Reading& reading, const std::stop_token& stop) {
    const Arena::Scope scope(backend_.arena());
    const auto x = backend_.arena().template matrix<E>(reading.rows(), text().hidden_size);
    backend_.join();
    embed(reading, x);
    backend_.synchronize();  // so that the time is the encoder's
    const double encode_s = reading.seconds();

    auto start = Generation::Clock::now();
    DecoderBatch batch;
    for (const auto& [piece, first_image] : reading.parts()) {
      Sequence& sequence = piece.generation->hypotheses.front().sequence;
      cache_.extend(sequence, piece.rows());
      batch.add(piece.rows(), piece.generation->prefilled, sequence.pages());
    }
    loaded_.model.decoder.forward(backend_, batch, cache_.memory(), x, stop);
    counters_.prefill_batches.add(static_cast<double>(reading.parts().size()));
    std::vector<Generation*> done;  // reading their prompts
    std::vector<std::int64_t> last_rows;
    for (std::size_t i = 0; i < batch.segments.size(); ++i) {
      const PromptPiece& piece = reading.parts()[i].piece;
      Generation& g = *piece.generation;
      g.statistics.encode_s += encode_s;
      g.statistics.prefill_s += since(start);
      g.prefilled += piece.rows();
      ++g.passes;
      if (!g.prefill_done()) continue;
      done.push_back(&g);
      last_rows.push_back(batch.segments[i].first_row + batch.segments[i].rows - 1);
    }
    if (done.empty()) return;

    start = Generation::Clock::now();
    const auto last = backend_.arena().template matrix<E>(std::ssize(done), x.cols);
    for (std::size_t i = 0; i < done.size(); ++i) {
      backend_.copy(x.slice_rows(last_rows[i], 1),
                    last.slice_rows(static_cast<std::int64_t>(i), 1));
    }
    choose(done, last);
    for (Generation* g : done) g->statistics.prefill_s += since(start);
  }

  // The next tokens of a group of answers: one for each, and more where a draft is right. Throws
  // Error.
  void decode(const std::vector<Generation*>& group) {
    const Arena::Scope scope(backend_.arena());
    std::vector<std::int32_t> ids;
    DecoderBatch batch;
    for (Generation* g : group) {
      for (Hypothesis& h : g->hypotheses) {
        const std::int64_t position = h.sequence.length();
        const std::int64_t rows = 1 + std::ssize(g->proposed);
        cache_.extend(h.sequence, rows);
        ids.push_back(h.tokens.back());
        ids.insert(ids.end(), g->proposed.begin(), g->proposed.end());
        batch.add(rows, position, h.sequence.pages());
      }
    }
    const auto x = backend_.arena().template matrix<E>(batch.rows(), text().hidden_size);
    loaded_.model.decoder.embed(backend_, ids, x);
    loaded_.model.decoder.forward(backend_, batch, cache_.memory(), x);
    counters_.decode_batches.add(static_cast<double>(batch.rows()));
    choose(group, x);
  }

  // Keeps what an answer that has ended left in the cache.
  void keep(Generation& g) {
    if (g.outcome == Outcome::kFailed || !g.prefill_done() || g.hypotheses.empty()) return;
    Hypothesis& first = g.hypotheses.front();
    for (const std::int32_t token : first.tokens) g.keys.push_back(token_key(token));
    g.keys.resize(static_cast<std::size_t>(first.sequence.length()));
    cache_.keep(std::move(g.keys), std::move(first.sequence));
  }

  // The sizes of the passes that were made.
  const EngineCounters& counters() const { return counters_; }

 private:
  const Qwen2Config& text() const { return loaded_.config.text; }
  std::int64_t image_tokens() const { return loaded_.config.vision.tokens(); }

  // The rows of prompts: x [rows of all pieces, hidden].
  void embed(const Reading& reading, View<E> x) {
    std::int64_t row = 0;
    for (const auto& [piece, first_image] : reading.parts()) {
      std::int64_t image = first_image;
      for (const PromptSpan& span : piece.spans) {
        const View<E> place = x.slice_rows(row, span.rows);
        row += span.rows;
        if (span.image >= 0) {
          backend_.copy(encoded_.slice_rows(image++ * image_tokens(), image_tokens()), place);
        } else {
          loaded_.model.decoder.embed(backend_,
                                      std::span(piece.generation->ids)
                                          .subspan(static_cast<std::size_t>(span.first_id),
                                                   static_cast<std::size_t>(span.rows)),
                                      place);
        }
      }
    }
  }

  // Takes the next tokens of a group from its rows after the decoder's layers: x [rows, hidden].
  void choose(const std::vector<Generation*>& group, View<E> x) {
    const auto all = backend_.arena().template matrix<float>(x.rows, text().vocab_size);
    loaded_.model.decoder.logits(backend_, x, all);
    const View<float> logits = all.first_cols(tokens_);
    if constexpr (ChoosesTokens<B>) {
      if (std::all_of(group.begin(), group.end(), backend_can_choose)) {
        return choose_there(group, logits);
      }
    }
    const View<float> here = backend_.download(logits);
    std::int64_t row = 0;
    for (Generation* g : group) {
      const std::int64_t count = g->decode_rows();
      guarded(*g, [&] {
        g->advance(here.slice_rows(row, count), eos_, [this](const Sequence& parent, auto tokens) {
          return cache_.fork(parent, tokens);
        });
      });
      row += count;
    }
  }

  static bool backend_can_choose(const Generation* g) {
    const Sampling& how = g->request.sampling;
    return how.num_beams <= 1 &&
           B::can_choose({.temperature = how.temperature, .top_k = how.top_k});
  }

  // The same where the logits are.
  void choose_there(const std::vector<Generation*>& group, View<float> logits) {
    std::vector<TokenChoice> choices;
    for (Generation* g : group) {
      const auto more = g->choices();
      choices.insert(choices.end(), more.begin(), more.end());
    }
    auto tokens = backend_.choose(logits, choices);
    for (Generation* g : group) {
      const auto count = static_cast<std::size_t>(g->decode_rows());
      guarded(*g, [&] { g->advance(tokens.first(count), eos_); });
      tokens = tokens.subspan(count);
    }
  }

  static double since(Generation::Clock::time_point start) {
    return std::chrono::duration<double>(Generation::Clock::now() - start).count();
  }

  LoadedModel<B>& loaded_;
  B& backend_;
  KvCache<B>& cache_;
  std::vector<std::int32_t> eos_;
  std::int64_t tokens_;
  View<E> encoded_;  // what they become, [images * tokens, hidden]
  EngineCounters counters_;
};

}  // namespace fvlm
