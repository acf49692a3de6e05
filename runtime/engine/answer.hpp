// The tokens of one answer: chosen from logits one after the other, several at a time where a draft
// is right (speculative decoding), or by beam search. Holds the sequences in the KV cache that the
// next pass goes on from; knows nothing of backends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fvlm/core/view.hpp"
#include "fvlm/engine.hpp"
#include "fvlm/ops/sampling.hpp"
#include "runtime/engine/answer_grammar.hpp"
#include "runtime/engine/draft.hpp"
#include "runtime/engine/page_pool.hpp"
#include "runtime/engine/sampler.hpp"

namespace fvlm {

// One continuation of the prompt; there are several in beam search.
struct Hypothesis {
  Sequence sequence;
  std::vector<std::int32_t> tokens{};  // all new ones; the last is not in the cache yet
  double score = 0;                    // sum of its tokens' scores
};

class Answer {
 public:
  // Makes a copy of a sequence's first `tokens` tokens.
  using Fork = std::function<Sequence(const Sequence&, std::int64_t tokens)>;

  // At most `max_tokens` are chosen, the end token among them.
  Answer(const Sampling& sampling, std::int64_t max_tokens, std::uint64_t seed)
      : beams_(sampling.num_beams),
        max_tokens_(max_tokens),
        top_logprobs_(sampling.logprobs),
        sampler_(sampling, seed) {}

  // Takes the sequence of the prompt, which the first tokens follow.
  void begin(Sequence prompt) { hypotheses_.push_back({std::move(prompt)}); }

  bool searches_beams() const { return beams_ > 1; }
  std::vector<Hypothesis>& hypotheses() { return hypotheses_; }
  const std::vector<Hypothesis>& hypotheses() const { return hypotheses_; }

  // The answer's tokens follow a grammar. Throws Error if none could.
  void set_grammar(AnswerGrammar grammar);

  // Tokens of a draft are checked in decode passes from now on. Not for beam search.
  void set_draft(Draft draft) { draft_ = std::move(draft); }
  bool has_draft() const { return draft_.has_value(); }
  // Sets what the next decode pass checks of the draft: at most so many tokens, no more than the
  // answer may still have, and none that its grammar forbids.
  void propose(std::int64_t most);
  const std::vector<std::int32_t>& proposed() const { return proposed_; }
  // Rows that the next decode pass has for it.
  std::int64_t decode_rows() const { return std::ssize(hypotheses_) + std::ssize(proposed_); }

  // Chooses the next tokens from logits [decode_rows(), vocab]: of the prompt's last position, of
  // each hypothesis, or of the last token and the proposed ones after it, which are taken over as
  // far as they are what is chosen. `eos` are the tokens that end an answer. Returns how it ended,
  // if it did.
  std::optional<Outcome> advance(View<float> logits, std::span<const std::int32_t> eos,
                                 const Fork& fork);
  // The same in two steps, without beams, for a backend that samples: how the token of each row is
  // sampled, and what is done with these tokens. What the parameters refer to lives until then.
  std::vector<SamplingParams> sampling_params();
  std::optional<Outcome> advance(std::span<const std::int32_t> chosen,
                                 std::span<const std::int32_t> eos);

  // The tokens so far; of beams those of the best.
  std::vector<std::int32_t> tokens() const;

  // Of each of the tokens so far, if they are asked for.
  const std::vector<TokenLogprobs>& logprobs() const { return logprobs_; }

  std::int64_t chosen_tokens() const { return chosen_; }      // the end token among them
  std::int64_t drafted_tokens() const { return drafted_; }    // proposed and checked
  std::int64_t accepted_tokens() const { return accepted_; }  // of these, found right

 private:
  // Which tokens may come next, by the grammar.
  Sampler::TokenMask allowed();
  template <class Choose>
  std::optional<Outcome> advance_single(const Choose& choose, std::span<const std::int32_t> eos);
  std::optional<Outcome> advance_beams(View<float> logits, std::span<const std::int32_t> eos,
                                       const Fork& fork);

  struct Finished {
    std::vector<std::int32_t> tokens;
    double score;  // per token
  };

  std::int64_t beams_;
  std::int64_t max_tokens_;
  std::optional<std::int64_t> top_logprobs_;
  Sampler sampler_;
  std::vector<Hypothesis> hypotheses_;
  std::vector<Finished> finished_;  // beams that reached an end
  std::optional<AnswerGrammar> grammar_;
  std::optional<Draft> draft_;
  std::vector<std::int32_t> proposed_;  // by it, to be checked in the next pass
  std::vector<TokenLogprobs> logprobs_;
  std::int64_t chosen_ = 0;
  std::int64_t drafted_ = 0;
  std::int64_t accepted_ = 0;
};

}  // namespace fvlm
