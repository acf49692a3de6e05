#include "runtime/engine/answer.hpp"

#include <algorithm>
#include <utility>

#include "runtime/engine/logprobs.hpp"

namespace fvlm {
namespace {

bool contains(std::span<const std::int32_t> tokens, std::int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

std::span<float> row(View<float> logits, std::int64_t r) {
  return {logits.row(r), static_cast<std::size_t>(logits.cols)};
}

// Score of a finished beam: the mean score of its tokens (the end token counts).
double mean_score(double score, std::size_t tokens) {
  return score / static_cast<double>(std::max<std::size_t>(tokens, 1));
}

}  // namespace

void Answer::propose(std::int64_t most) {
  const std::int64_t left = max_tokens_ - chosen_ - 1;  // beside the one after the proposed ones
  const std::vector<std::int32_t>& tokens = hypotheses_.front().tokens;
  proposed_ = draft_->propose(tokens, std::min(most, left));
  if (!grammar_) return;
  proposed_.resize(grammar_->masks(tokens, proposed_).size() - 1);
  draft_->cut(std::ssize(proposed_));
}

void Answer::set_grammar(AnswerGrammar grammar) {
  grammar_ = std::move(grammar);
  grammar_->mask({});
}

Sampler::TokenMask Answer::allowed() {
  return grammar_ ? grammar_->mask(hypotheses_.front().tokens) : Sampler::TokenMask();
}

std::vector<SamplingParams> Answer::sampling_params() {
  std::vector<SamplingParams> rows = sampler_.params(proposed_);
  if (!grammar_) return rows;
  const auto masks = grammar_->masks(hypotheses_.front().tokens, proposed_);
  for (std::size_t r = 0; r < rows.size(); ++r) rows[r].allowed = masks[r];
  return rows;
}

std::optional<Outcome> Answer::advance(View<float> logits, std::span<const std::int32_t> eos,
                                       const Fork& fork) {
  if (searches_beams()) return advance_beams(logits, eos, fork);
  return advance_single(
      [&](std::size_t r) {
        const std::span<float> next = row(logits, static_cast<std::int64_t>(r));
        if (!top_logprobs_) return sampler_.sample(next, allowed());
        const Logprobs logprobs(next, *top_logprobs_);
        const std::int32_t token = sampler_.sample(next, allowed());
        if (!contains(eos, token)) logprobs_.push_back(logprobs.of(token));
        return token;
      },
      eos);
}

std::optional<Outcome> Answer::advance(std::span<const std::int32_t> chosen,
                                       std::span<const std::int32_t> eos) {
  std::size_t used = 0;
  const auto outcome = advance_single(
      [&](std::size_t r) {
        ++used;
        return chosen[r];
      },
      eos);
  sampler_.advance(used);
  return outcome;
}

// choose(row): the token of one of the rows, which are asked in order, each when the one before has
// been appended.
template <class Choose>
std::optional<Outcome> Answer::advance_single(const Choose& choose,
                                              std::span<const std::int32_t> eos) {
  Hypothesis& only = hypotheses_.front();
  std::optional<Outcome> outcome;
  std::size_t accepted = 0;
  while (!outcome) {
    const std::int32_t token = choose(accepted);
    ++chosen_;
    if (contains(eos, token)) {
      outcome = Outcome::kStop;
      break;
    }
    only.tokens.push_back(token);
    sampler_.append(token);
    if (chosen_ >= max_tokens_) outcome = Outcome::kLength;
    if (accepted == proposed_.size() || token != proposed_[accepted]) break;
    ++accepted;
  }
  if (!outcome) allowed();  // throws if there is no way on
  if (!draft_) return outcome;
  const auto rejected = std::ssize(proposed_) - static_cast<std::int64_t>(accepted);
  draft_->confirm(static_cast<std::int64_t>(accepted));
  drafted_ += std::ssize(proposed_);
  accepted_ += static_cast<std::int64_t>(accepted);
  only.sequence.shrink(rejected);
  proposed_.clear();
  return outcome;
}

// Of the continuations of all beams twice as many as needed are taken (the likeliest, or drawn
// ones), and the best of these are kept; those that end go to finished_. Ends when the best of all
// these, ended or not, does not beat the worst of enough finished ones.
std::optional<Outcome> Answer::advance_beams(View<float> logits, std::span<const std::int32_t> eos,
                                             const Fork& fork) {
  struct Continuation {
    std::size_t parent;
    std::int32_t token;
    double score;
    double noise;
  };
  const auto beams = static_cast<std::size_t>(beams_);
  std::vector<Continuation> all;
  for (std::size_t h = 0; h < hypotheses_.size(); ++h) {
    for (const auto& c : sampler_.candidates(
             row(logits, static_cast<std::int64_t>(h)), hypotheses_[h].tokens, 2 * beams,
             grammar_ ? grammar_->mask_of(hypotheses_[h].tokens) : Sampler::TokenMask())) {
      all.push_back({h, c.token, hypotheses_[h].score + c.score, c.noise});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.score + a.noise > b.score + b.noise;
  });
  if (all.size() > 2 * beams) all.resize(2 * beams);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });

  const std::size_t length = hypotheses_.front().tokens.size() + 1;
  const double attainable = mean_score(all.front().score, length);
  std::vector<Hypothesis> next;
  for (std::size_t rank = 0; rank < all.size() && next.size() < beams; ++rank) {
    const Continuation& c = all[rank];
    const Hypothesis& parent = hypotheses_[c.parent];
    if (contains(eos, c.token)) {
      if (rank < beams) finished_.push_back({parent.tokens, mean_score(c.score, length)});
      continue;
    }
    auto tokens = parent.tokens;
    tokens.push_back(c.token);
    next.push_back({fork(parent.sequence, parent.sequence.length()), std::move(tokens), c.score});
  }
  hypotheses_ = std::move(next);
  ++chosen_;

  std::stable_sort(finished_.begin(), finished_.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  if (finished_.size() > beams) finished_.resize(beams);
  const bool enough = finished_.size() == beams && finished_.back().score >= attainable;
  if (enough || hypotheses_.empty()) return Outcome::kStop;
  if (chosen_ >= max_tokens_) return Outcome::kLength;
  return {};
}

std::vector<std::int32_t> Answer::tokens() const {
  if (!searches_beams())
    return hypotheses_.empty() ? std::vector<std::int32_t>{} : hypotheses_.front().tokens;
  const std::vector<std::int32_t>* best = nullptr;
  double best_score = 0;
  const auto consider = [&](const std::vector<std::int32_t>& tokens, double score) {
    if (best && score <= best_score) return;
    best = &tokens;
    best_score = score;
  };
  for (const Finished& f : finished_) consider(f.tokens, f.score);
  for (const Hypothesis& h : hypotheses_) consider(h.tokens, mean_score(h.score, h.tokens.size()));
  return best ? *best : std::vector<std::int32_t>{};
}

}  // namespace fvlm
