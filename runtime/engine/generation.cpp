#include "runtime/engine/generation.hpp"

#include <algorithm>
#include <utility>

#include "runtime/engine/prompt.hpp"

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

Hash128 token_key(std::int32_t token) {
  return {.low = static_cast<std::uint32_t>(token)};
}

// The highest bit is set, so that it never equals a token.
Hash128 image_key(const Hash128& image, std::int64_t place) {
  return {image.high | std::uint64_t{1} << 63, image.low + static_cast<std::uint64_t>(place)};
}

std::vector<PromptSpan> prompt_spans(std::span<const std::int32_t> ids, std::int64_t image_tokens) {
  std::vector<PromptSpan> spans;
  std::int64_t images = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t position = spans.empty() ? 0 : spans.back().end();
    if (ids[i] == kImageToken) {
      spans.push_back({static_cast<std::int64_t>(i), images++, position, image_tokens});
    } else if (!spans.empty() && spans.back().image < 0) {
      ++spans.back().rows;
    } else {
      spans.push_back({static_cast<std::int64_t>(i), -1, position, 1});
    }
  }
  return spans;
}

Generation::Generation(RequestId request_id, Request r, std::vector<std::int32_t> prompt_ids,
                       std::uint64_t seed)
    : id(request_id),
      request(std::move(r)),
      ids(std::move(prompt_ids)),
      sampler_(request.sampling, seed) {}

void Generation::advance(View<float> logits, std::span<const std::int32_t> eos, const Fork& fork) {
  if (request.sampling.num_beams > 1) {
    if (statistics.new_tokens == 0) first_token = Clock::now();
    advance_beams(logits, eos, fork);
    ++statistics.new_tokens;
    if (!outcome && statistics.new_tokens >= max_new_tokens) end(Outcome::kLength);
    return;
  }
  write_history();
  advance_single(
      [&](std::size_t r) {
        return sampler_.sample(row(logits, static_cast<std::int64_t>(r)), history_of(r));
      },
      eos);
}

void Generation::write_history() {
  history_ = hypotheses.front().tokens;
  history_.insert(history_.end(), proposed.begin(), proposed.end());
}

std::vector<TokenChoice> Generation::choices() {
  write_history();
  std::vector<TokenChoice> all;
  for (std::size_t r = 0; r <= proposed.size(); ++r) {
    all.push_back(sampler_.choice(history_of(r), r));
  }
  return all;
}

void Generation::advance(std::span<const std::int32_t> chosen, std::span<const std::int32_t> eos) {
  std::size_t used = 0;
  advance_single(
      [&](std::size_t r) {
        ++used;
        return chosen[r];
      },
      eos);
  sampler_.choices_made(used);
}

// choose(row): the token of one of the rows, which are asked in order.
template <class Choose>
void Generation::advance_single(const Choose& choose, std::span<const std::int32_t> eos) {
  if (statistics.new_tokens == 0) first_token = Clock::now();
  Hypothesis& only = hypotheses.front();
  std::size_t accepted = 0;
  while (!outcome) {
    const std::int32_t token = choose(accepted);
    ++statistics.new_tokens;
    if (contains(eos, token)) {
      end(Outcome::kStop);
      break;
    }
    only.tokens.push_back(token);
    if (statistics.new_tokens >= max_new_tokens) end(Outcome::kLength);
    if (accepted == proposed.size() || token != proposed[accepted]) break;
    ++accepted;
  }
  if (!draft) return;
  draft->confirm(static_cast<std::int64_t>(accepted));
  statistics.drafted_tokens += std::ssize(proposed);
  statistics.accepted_tokens += static_cast<std::int64_t>(accepted);
  // What was computed after the last proposed token that was right is forgotten.
  only.sequence.shrink(std::ssize(proposed) - static_cast<std::int64_t>(accepted));
  proposed.clear();
}

// Of the continuations of all beams twice as many as needed are taken (the likeliest, or drawn
// ones), and the best of these are kept; those that end go to finished_. Ends when the best of all
// these, ended or not, does not beat the worst of enough finished ones.
void Generation::advance_beams(View<float> logits, std::span<const std::int32_t> eos,
                               const Fork& fork) {
  struct Continuation {
    std::size_t parent;
    std::int32_t token;
    double score;
    double noise;
  };
  const auto beams = static_cast<std::size_t>(request.sampling.num_beams);
  std::vector<Continuation> all;
  for (std::size_t h = 0; h < hypotheses.size(); ++h) {
    for (const auto& c : sampler_.candidates(row(logits, static_cast<std::int64_t>(h)),
                                             hypotheses[h].tokens, 2 * beams)) {
      all.push_back({h, c.token, hypotheses[h].score + c.score, c.noise});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.score + a.noise > b.score + b.noise;
  });
  if (all.size() > 2 * beams) all.resize(2 * beams);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });

  const std::size_t length = hypotheses.front().tokens.size() + 1;
  const double attainable = mean_score(all.front().score, length);
  std::vector<Hypothesis> next;
  for (std::size_t rank = 0; rank < all.size() && next.size() < beams; ++rank) {
    const Continuation& c = all[rank];
    const Hypothesis& parent = hypotheses[c.parent];
    if (contains(eos, c.token)) {
      if (rank < beams) finished_.push_back({parent.tokens, mean_score(c.score, length)});
      continue;
    }
    auto tokens = parent.tokens;
    tokens.push_back(c.token);
    next.push_back({fork(parent.sequence, parent.sequence.length()), std::move(tokens), c.score});
  }
  hypotheses = std::move(next);

  std::stable_sort(finished_.begin(), finished_.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  if (finished_.size() > beams) finished_.resize(beams);
  const bool enough = finished_.size() == beams && finished_.back().score >= attainable;
  if (enough || hypotheses.empty()) end(Outcome::kStop);
}

void Generation::end(Outcome how) {
  outcome = how;
  if (request.sampling.num_beams <= 1) {
    if (!hypotheses.empty()) answer = hypotheses.front().tokens;
    return;
  }
  for (const Hypothesis& h : hypotheses) {
    finished_.push_back({h.tokens, mean_score(h.score, h.tokens.size())});
  }
  const auto best =
      std::max_element(finished_.begin(), finished_.end(),
                       [](const auto& a, const auto& b) { return a.score < b.score; });
  if (best != finished_.end()) answer = best->tokens;
}

void Generation::end_unchanged(std::vector<std::int32_t> tokens, Outcome how) {
  unchanged = true;
  first_token = Clock::now();
  answer = std::move(tokens);
  outcome = how;
}

Result Generation::take_result() {
  const auto now = Clock::now();
  const auto seconds = [](auto duration) {
    return std::chrono::duration<double>(duration).count();
  };
  statistics.total_s = seconds(now - submitted);
  if (statistics.new_tokens > 0 || unchanged) {
    statistics.ttft_s = seconds(first_token - submitted);
    statistics.decode_s = seconds(now - first_token);
  }
  Result result{.outcome = *outcome,
                .text = std::move(text),
                .error = std::move(error),
                .statistics = statistics};
  result.tokens = std::move(answer);
  result.unchanged = unchanged;
  return result;
}

}  // namespace fvlm
