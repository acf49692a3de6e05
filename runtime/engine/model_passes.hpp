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
#include "runtime/engine/reading.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

class ModelPasses {
 public:
  // `eos` are the tokens that end an answer, `tokens` how many there are: the model may have logits
  // beyond, for ids that no token has.
  ModelPasses(ModelRunner& runner, KvCache& cache, std::vector<std::int32_t> eos,
              std::int64_t tokens)
      : runner_(runner), cache_(cache), eos_(std::move(eos)), tokens_(tokens) {}

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
    if (reading.images().empty()) return;
    runner_.encode(reading.images(), stop);
    counters_.encoder_batches.add(static_cast<double>(reading.images().size()));
  }
  // Whether read() need not wait for the images.
  bool encoded() const { return runner_.encoded(); }

  // Runs these rows of prompts through the decoder; those that end with them get their first
  // token. Throws Stopped, and Error.
  void read(const Reading& reading, const std::stop_token& stop) {
    PrefillPass pass;
    std::vector<Generation*> done;  // reading their prompts
    for (const auto& [piece, first_image] : reading.parts()) {
      Generation& g = *piece.generation;
      add_input(piece, first_image, pass.input);
      Sequence& sequence = g.hypotheses.front().sequence;
      cache_.extend(sequence, piece.rows());
      pass.batch.add(piece.rows(), g.prefilled, sequence.pages());
      if (g.prefilled + piece.rows() < std::ssize(g.keys)) continue;
      done.push_back(&g);
      pass.last_rows.push_back(pass.batch.rows() - 1);
    }
    const auto choices = choices_of(done);
    const PassOutput output = runner_.prefill(pass, next(choices), stop);
    counters_.prefill_batches.add(static_cast<double>(reading.parts().size()));
    const double encode_s = reading.seconds(output.embedded);
    const double layers_s = since(output.embedded);
    for (const auto& [piece, first_image] : reading.parts()) {
      Generation& g = *piece.generation;
      g.statistics.encode_s += encode_s;
      g.statistics.prefill_s += layers_s;
      g.prefilled += piece.rows();
      ++g.passes;
    }
    const auto start = Generation::Clock::now();
    advance(done, output);
    for (Generation* g : done) g->statistics.prefill_s += since(start);
  }

  // The next tokens of a group of answers: one for each, and more where a draft is right. Throws
  // Error.
  void decode(const std::vector<Generation*>& group) {
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
    const auto choices = choices_of(group);
    const PassOutput output = runner_.decode(ids, batch, next(choices));
    counters_.decode_batches.add(static_cast<double>(batch.rows()));
    advance(group, output);
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
  static void add_input(const PromptPiece& piece, std::int64_t image,
                        std::vector<PromptRows>& input) {
    const std::span<const std::int32_t> ids = piece.generation->ids;
    for (const PromptSpan& span : piece.spans) {
      if (span.image >= 0) {
        input.push_back({.image = image++});
      } else {
        input.push_back({.ids = ids.subspan(static_cast<std::size_t>(span.first_id),
                                            static_cast<std::size_t>(span.rows))});
      }
    }
  }

  NextTokens next(std::span<const TokenChoice> choices) const { return {tokens_, choices}; }

  // How the runner chooses the tokens of a group; none if it cannot for all of them.
  std::vector<TokenChoice> choices_of(const std::vector<Generation*>& group) const {
    std::vector<TokenChoice> choices;
    if (!std::all_of(group.begin(), group.end(),
                     [this](const Generation* g) { return runner_can_choose(*g); })) {
      return choices;
    }
    for (Generation* g : group) {
      const auto more = g->choices();
      choices.insert(choices.end(), more.begin(), more.end());
    }
    return choices;
  }

  bool runner_can_choose(const Generation& g) const {
    const Sampling& how = g.request.sampling;
    return how.num_beams <= 1 &&
           runner_.can_choose({.temperature = how.temperature, .top_k = how.top_k});
  }

  // Gives a group what came out of its pass.
  void advance(const std::vector<Generation*>& group, const PassOutput& output) {
    std::int64_t row = 0;
    for (Generation* g : group) {
      const std::int64_t count = g->decode_rows();
      guarded(*g, [&] {
        if (!output.tokens.empty()) {
          return g->advance(
              output.tokens.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(count)),
              eos_);
        }
        g->advance(
            output.logits.slice_rows(row, count), eos_,
            [this](const Sequence& parent, auto tokens) { return cache_.fork(parent, tokens); });
      });
      row += count;
    }
  }

  static double since(Generation::Clock::time_point start) {
    return std::chrono::duration<double>(Generation::Clock::now() - start).count();
  }

  ModelRunner& runner_;
  KvCache& cache_;
  std::vector<std::int32_t> eos_;
  std::int64_t tokens_;
  EngineCounters counters_;
};

}  // namespace fvlm
