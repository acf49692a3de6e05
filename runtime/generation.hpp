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
#include "runtime/engine.hpp"
#include "runtime/page_pool.hpp"
#include "runtime/sampler.hpp"
#include "runtime/utf8_stream.hpp"

namespace fvlm {

// Pixels of one image at the encoder's size, and a hash of them: equal images share cached work.
struct PreparedImage {
  std::vector<std::uint8_t> pixels;  // [side, side, 3]
  std::uint64_t hash = 0;
};

// What stands at each position of a sequence, for finding common beginnings: a token id, or the
// hash of an image mixed with the position inside it.
using PositionKeys = std::vector<std::uint64_t>;

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
  double score = 0;                  // sum of log probabilities
};

struct Generation {
  using Clock = std::chrono::steady_clock;
  // Makes a copy of a sequence's first `tokens` tokens.
  using Fork = std::function<Sequence(const Sequence&, std::int64_t tokens)>;

  Generation(RequestId request_id, Request r, std::vector<std::int32_t> prompt_ids,
             std::uint64_t seed);

  // Chooses the next tokens from the logits of each hypothesis, [hypotheses, vocab] (after prefill
  // there is one), or ends the generation. `eos` are the tokens that end an answer.
  void advance(View<float> logits, std::span<const std::int32_t> eos, const Fork& fork);
  // Ends it early; what was generated so far is kept.
  void end(Outcome how);

  // Takes the answer. Only after the end.
  Result take_result();

  bool prefill_done() const { return !keys.empty() && prefilled == std::ssize(keys); }

  RequestId id;
  Request request;
  std::stop_source stop;
  std::vector<std::int32_t> ids;  // the prompt, kImageToken once for each image
  std::vector<PreparedImage> images;
  std::vector<PromptSpan> spans;
  PositionKeys keys;                // one for each position of the prompt
  std::int64_t prefilled = 0;       // positions of the prompt that are in the cache
  std::int64_t max_new_tokens = 0;  // as the context allows
  std::int64_t reserved_pages = 0;  // the most it can hold
  std::vector<Hypothesis> hypotheses;
  std::optional<Outcome> outcome;  // once it has ended
  std::string error;
  Statistics statistics;
  Clock::time_point submitted = Clock::now();
  Clock::time_point first_token;
  Utf8Stream utf8;
  std::string text;                  // of the answer so far; beams have it at the end
  std::vector<std::int32_t> answer;  // its tokens, at the end

 private:
  void advance_single(std::span<float> logits, std::span<const std::int32_t> eos);
  void advance_beams(View<float> logits, std::span<const std::int32_t> eos, const Fork& fork);

  struct Finished {
    std::vector<std::int32_t> tokens;
    double score;  // log probability per token
  };

  Sampler sampler_;
  std::vector<Finished> finished_;  // beams that reached an end
};

}  // namespace fvlm
