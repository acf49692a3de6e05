#include "runtime/engine/generation.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace fvlm {
namespace {

std::string_view name_of(Generation::Phase phase) {
  switch (phase) {
    case Generation::Phase::kQueued:
      return "queued";
    case Generation::Phase::kPrepared:
      return "prepared";
    case Generation::Phase::kPrefill:
      return "in prefill";
    case Generation::Phase::kDecode:
      return "in decode";
    case Generation::Phase::kDone:
      return "done";
  }
  return "";
}

}  // namespace

Generation::Generation(RequestId id, Request request, PromptLayout prompt, const Budget& budget,
                       std::uint64_t seed)
    : id_(id),
      request_(std::move(request)),
      prompt_(std::move(prompt)),
      budget_(budget),
      answer_(request_.sampling, budget.new_tokens, seed),
      text_stream_(prompt_.continues) {
  statistics_.prompt_tokens = prompt_.positions();
  for (const PreparedImage& picture : prompt_.images) statistics_.preprocess_s += picture.seconds;
}

void Generation::expect(bool allowed, std::string_view transition) const {
  if (allowed) return;
  throw std::logic_error(
      fmt::format("request {} cannot {}: it is {}", id_, transition, name_of(phase_)));
}

void Generation::prepare(Sequence cached) {
  expect(phase_ == Phase::kQueued, "be prepared");
  leave_queue();
  prefilled_ = statistics_.cached_tokens = cached.length();
  answer_.begin(std::move(cached));
  phase_ = Phase::kPrepared;
}

void Generation::leave_queue() {
  statistics_.queue_s = std::chrono::duration<double>(Clock::now() - submitted_).count();
}

void Generation::prefill(std::int64_t positions) {
  expect(prefills() && prefilled_ + positions <= prompt_.positions(), "prefill");
  prefilled_ += positions;
  ++prefill_passes_;
  phase_ = prefilled_ == prompt_.positions() ? Phase::kDecode : Phase::kPrefill;
}

void Generation::advance(View<float> logits, std::span<const std::int32_t> eos,
                         const Answer::Fork& fork) {
  expect(phase_ == Phase::kDecode, "advance");
  if (!first_token_) first_token_ = Clock::now();
  end_with(answer_.advance(logits, eos, fork));
}

void Generation::advance(std::span<const std::int32_t> chosen, std::span<const std::int32_t> eos) {
  expect(phase_ == Phase::kDecode, "advance");
  if (!first_token_) first_token_ = Clock::now();
  end_with(answer_.advance(chosen, eos));
}

void Generation::repeat(std::vector<std::int32_t> tokens, Outcome outcome) {
  expect(phase_ == Phase::kQueued, "repeat an answer");
  leave_queue();
  unchanged_ = true;
  first_token_ = Clock::now();
  end(outcome);
  tokens_ = std::move(tokens);
  said_ = tokens_.size();
}

void Generation::end_with(std::optional<Outcome> outcome) {
  if (outcome) end(*outcome);
}

void Generation::end(Outcome outcome) {
  expect(!done(), "end");
  outcome_ = outcome;
  tokens_ = answer_.tokens();
  phase_ = Phase::kDone;
}

void Generation::fail(const std::exception& error) {
  end(Outcome::kFailed);
  error_ = error.what();
}

std::span<const std::int32_t> Generation::take_unsaid() {
  const bool streams = !answer_.hypotheses().empty() && !answer_.searches_beams();
  if (!done() && !streams) return {};
  const auto& tokens = done() ? tokens_ : answer_.hypotheses().front().tokens;
  return std::span(tokens).subspan(std::exchange(said_, tokens.size()));
}

void Generation::say(std::string_view piece) {
  if (piece.empty()) return;
  text_ += piece;
  if (request_.on_text) request_.on_text(piece);
}

const Thumbnail* Generation::thumbnail() const {
  return prompt_.images.size() == 1 ? &prompt_.images.front().thumbnail : nullptr;
}

Result Generation::take_result() {
  expect(done(), "give its result");
  say(text_stream_.finish());
  const auto now = Clock::now();
  const auto seconds = [](auto duration) {
    return std::chrono::duration<double>(duration).count();
  };
  statistics_.new_tokens = answer_.chosen_tokens();
  statistics_.drafted_tokens = answer_.drafted_tokens();
  statistics_.accepted_tokens = answer_.accepted_tokens();
  statistics_.total_s = seconds(now - submitted_);
  if (statistics_.new_tokens > 0 || unchanged_) {
    statistics_.ttft_s = seconds(*first_token_ - submitted_);
    statistics_.decode_s = seconds(now - *first_token_);
  }
  return {.outcome = *outcome_,
          .text = std::move(text_),
          .error = std::move(error_),
          .tokens = std::move(tokens_),
          .logprobs = std::move(logprobs_),
          .unchanged = unchanged_,
          .statistics = statistics_};
}

}  // namespace fvlm
