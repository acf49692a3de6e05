// One request on its way through the engine: its prompt, its sequences in the KV cache and the
// tokens chosen so far. Knows nothing of backends; the engine core runs the model for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "fvlm/core/view.hpp"
#include "fvlm/engine.hpp"
#include "fvlm/image.hpp"
#include "runtime/engine/answer_text.hpp"
#include "runtime/engine/draft.hpp"
#include "runtime/engine/page_pool.hpp"
#include "runtime/engine/sampler.hpp"
#include "runtime/support/keyed_hash.hpp"

namespace fvlm {

// What stands at each position of a sequence, for finding common beginnings: a token, or a place
// inside an image. Equal keys mean equal content, whoever sent it.
using PositionKeys = std::vector<Hash128>;
Hash128 token_key(std::int32_t token);
Hash128 image_key(const Hash128& image, std::int64_t place);

// Consecutive rows of the prompt: tokens, or the positions of one image.
struct PromptSpan {
  std::int64_t first_id;  // index into Generation::ids
  std::int64_t image;     // index into Generation::images, or -1
  std::int64_t position;  // of its first row
  std::int64_t rows;

  std::int64_t end() const { return position + rows; }
};
std::vector<PromptSpan> prompt_spans(std::span<const std::int32_t> ids, std::int64_t image_tokens);

// One continuation of the prompt; there are several in beam search.
struct Hypothesis {
  Sequence sequence;
  std::vector<std::int32_t> tokens;  // all new ones; the last is not in the cache yet
  double score = 0;                  // sum of its tokens' scores
};

struct Generation {
  using Clock = std::chrono::steady_clock;
  // Makes a copy of a sequence's first `tokens` tokens.
  using Fork = std::function<Sequence(const Sequence&, std::int64_t tokens)>;

  Generation(RequestId request_id, Request r, std::vector<std::int32_t> prompt_ids,
             std::uint64_t seed);

  // Chooses the next tokens, or ends the generation, from logits [rows, vocab]: of the prompt's
  // last position, of each hypothesis, or of the last token and the proposed ones after it, which
  // are taken over as far as they are what is chosen. `eos` are the tokens that end an answer.
  void advance(View<float> logits, std::span<const std::int32_t> eos, const Fork& fork);
  // The same in two steps, without beams, for a backend that chooses: how the token of each row is
  // chosen, and what is done with these tokens. Histories live until the second step.
  std::vector<TokenChoice> choices();
  void advance(std::span<const std::int32_t> chosen, std::span<const std::int32_t> eos);
  // Ends it early; what was generated so far is kept.
  void end(Outcome how);
  // Ends it with an answer that was given before.
  void end_unchanged(std::vector<std::int32_t> tokens, Outcome how);

  // Takes the answer. Only after the end.
  Result take_result();

  // Rows that the next decode pass has for it.
  std::int64_t decode_rows() const { return std::ssize(hypotheses) + std::ssize(proposed); }
  bool prepared() const { return !hypotheses.empty(); }
  bool prefill_done() const { return !keys.empty() && prefilled == std::ssize(keys); }

  RequestId id;
  Request request;
  std::stop_source stop;
  std::vector<std::int32_t> ids;  // the prompt, kImageToken once for each image
  std::vector<Picture> images;
  std::vector<PromptSpan> spans;
  PositionKeys keys;                // one for each position of the prompt
  std::int64_t prefilled = 0;       // positions of the prompt that are in the cache
  std::int64_t passes = 0;          // that it took
  std::int64_t max_new_tokens = 0;  // as the context allows
  std::int64_t reserved_pages = 0;  // the most it can hold
  std::vector<Hypothesis> hypotheses;
  std::optional<Draft> draft;          // of a live view's answer
  std::vector<std::int32_t> proposed;  // by it, to be checked in the next pass
  std::optional<Thumbnail> seen;       // of a live view's image
  bool unchanged = false;
  std::optional<Outcome> outcome;  // once it has ended
  std::string error;
  Statistics statistics;
  Clock::time_point submitted = Clock::now();
  Clock::time_point first_token;
  AnswerText stream;
  std::string text;                  // of the answer so far; beams have it at the end
  std::size_t said = 0;              // tokens that are in it
  std::vector<std::int32_t> answer;  // its tokens, at the end

 private:
  // All new tokens so far and, after them, the proposed ones: row i's history is all but the last
  // proposed.size() - i of them.
  std::span<const std::int32_t> history_of(std::size_t row) const {
    return std::span(history_).first(history_.size() - proposed.size() + row);
  }
  void write_history();
  template <class Choose>
  void advance_single(const Choose& choose, std::span<const std::int32_t> eos);
  void advance_beams(View<float> logits, std::span<const std::int32_t> eos, const Fork& fork);

  struct Finished {
    std::vector<std::int32_t> tokens;
    double score;  // per token
  };

  Sampler sampler_;
  std::vector<std::int32_t> history_;
  std::vector<Finished> finished_;  // beams that reached an end
};

}  // namespace fvlm
