// One request on its way through the engine, in phases. Each transition checks the phase that it
// starts from: a mistake of the engine's is a std::logic_error, never a wrong answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/image.hpp"
#include "fvlm/models/module.hpp"
#include "runtime/engine/answer.hpp"
#include "runtime/engine/answer_text.hpp"
#include "runtime/engine/prompt_layout.hpp"

namespace fvlm {

class Generation {
 public:
  using Clock = std::chrono::steady_clock;

  enum class Phase : std::uint8_t {
    kQueued,    // nothing of it is in the KV cache
    kPrepared,  // it has a sequence, which holds what was cached of its prompt
    kPrefill,   // part of its prompt has run through the decoder
    kDecode,    // all of it has: every pass chooses tokens
    kDone,      // it has an outcome
  };

  // The most that it may take.
  struct Budget {
    std::int64_t new_tokens = 0;
    std::int64_t pages = 0;  // of the KV cache
  };

  Generation(RequestId id, Request request, PromptLayout prompt, const Budget& budget,
             std::uint64_t seed);

  RequestId id() const { return id_; }
  const Request& request() const { return request_; }
  const PromptLayout& prompt() const { return prompt_; }
  const Budget& budget() const { return budget_; }
  Clock::time_point submitted() const { return submitted_; }
  std::stop_source stop_source() const { return stop_; }
  std::stop_token stop_token() const { return stop_.get_token(); }

  Phase phase() const { return phase_; }
  bool done() const { return phase_ == Phase::kDone; }
  // Whether rows of its prompt are left for prefill passes.
  bool prefills() const { return phase_ == Phase::kPrepared || phase_ == Phase::kPrefill; }
  std::int64_t prefilled() const { return prefilled_; }  // positions of the prompt in the cache
  std::int64_t prefill_passes() const { return prefill_passes_; }  // that these took
  Answer& answer() { return answer_; }
  const Answer& answer() const { return answer_; }
  Outcome outcome() const { return *outcome_; }  // of one that is done

  // Transitions -----------------------------------------------------------------------------------

  // Queued to prepared: `cached` holds the beginning of its prompt.
  void prepare(Sequence cached);
  // Prepared or prefill to prefill, or to decode with the prompt's last position: so many more
  // positions are in the cache.
  void prefill(std::int64_t positions);
  // Decode to decode, or to done: chooses tokens (Answer::advance).
  void advance(View<float> logits, std::span<const std::int32_t> eos, const Answer::Fork& fork);
  void advance(std::span<const std::int32_t> chosen, std::span<const std::int32_t> eos);
  // Queued to done: with an answer that was given before.
  void repeat(std::vector<std::int32_t> tokens, Outcome outcome);
  // Any but done to done; what was generated so far is kept.
  void end(Outcome outcome);
  void fail(const std::exception& error);

  // What its caller hears
  // --------------------------------------------------------------------------

  // Tokens of its answer since the last call, to be detokenised. Beam search has them when it is
  // done. They live until the next transition.
  std::span<const std::int32_t> take_unsaid();
  // The log probabilities of the answer's next token, if they are asked for; `name` gives tokens
  // their texts.
  template <class Name>
  void say_logprobs(const Name& name);
  // The bytes of the answer's next token.
  void say_bytes(std::string_view bytes) { say(text_stream_.push(bytes)); }
  void say(std::string_view piece);
  // Ends the text and takes the answer. Only when done.
  Result take_result();

  // So many of its images were encoded.
  void count_encoded(std::int64_t images) { statistics_.encoded_images += images; }
  // Adds to a time in its statistics.
  void spend(double Statistics::*time, double seconds) { statistics_.*time += seconds; }

  // Of a live view --------------------------------------------------------------------------------

  // What is compared with the view's last picture: the thumbnail of the prompt's only one.
  const Thumbnail* thumbnail() const;

 private:
  void expect(bool allowed, std::string_view transition) const;
  void leave_queue();
  void end_with(std::optional<Outcome> outcome);

  RequestId id_;
  Request request_;
  PromptLayout prompt_;
  Budget budget_;
  std::stop_source stop_;
  Clock::time_point submitted_ = Clock::now();

  Phase phase_ = Phase::kQueued;
  std::int64_t prefilled_ = 0;
  std::int64_t prefill_passes_ = 0;
  Answer answer_;

  std::optional<Outcome> outcome_;
  std::string error_;
  bool unchanged_ = false;            // repeats the view's last answer
  std::vector<std::int32_t> tokens_;  // of the answer, once it is done

  AnswerText text_stream_;
  std::string text_;
  std::vector<TokenLogprobs> logprobs_;  // of what is said
  std::size_t said_ = 0;                 // tokens that are in it
  std::optional<Clock::time_point> first_token_;
  Statistics statistics_;
};

template <class Name>
void Generation::say_logprobs(const Name& name) {
  if (!request_.sampling.logprobs) return;
  TokenLogprobs& next = logprobs_.emplace_back(answer_.logprobs()[logprobs_.size()]);
  next.begin = text_.size() + text_stream_.held();
  name(next.chosen);
  for (TokenLogprob& other : next.top) name(other);
  if (request_.on_logprobs) request_.on_logprobs(next);
}

using GenerationPtr = std::unique_ptr<Generation>;

// Does part of the work on one request: what goes wrong in it ends that request and no other.
template <class Work>
void guarded(Generation& g, const Work& part) {
  try {
    stop_if_requested(g.stop_token());
    part();
  } catch (const Stopped&) {
    g.end(Outcome::kCancelled);
  } catch (const std::exception& error) {
    g.fail(error);
  }
}

}  // namespace fvlm
