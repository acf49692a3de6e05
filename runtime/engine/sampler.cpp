#include "runtime/engine/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace fvlm {
namespace {

void make_log_probabilities(std::span<float> logits) {
  make_finite(logits);
  const double log_sum = log_sum_of(logits);
  for (float& logit : logits) logit = static_cast<float>(logit - log_sum);
}

std::vector<std::int32_t> allowed_tokens(Sampler::TokenMask allowed, std::size_t vocabulary) {
  std::vector<std::int32_t> tokens;
  if (allowed.empty()) {
    tokens.resize(vocabulary);
    std::iota(tokens.begin(), tokens.end(), 0);
    return tokens;
  }
  for (std::size_t word = 0; word < allowed.size(); ++word) {
    for (std::uint32_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const std::size_t token = 32 * word + static_cast<std::size_t>(std::countr_zero(bits));
      if (token < vocabulary) tokens.push_back(static_cast<std::int32_t>(token));
    }
  }
  return tokens;
}

}  // namespace

void make_finite(std::span<float> logits) {
  using Limits = std::numeric_limits<float>;
  for (float& logit : logits) {
    logit =
        std::isnan(logit) ? Limits::lowest() : std::clamp(logit, Limits::lowest(), Limits::max());
  }
}

double log_sum_of(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

std::string Sampling::problem() const {
  if (!(temperature >= 0) || !std::isfinite(temperature)) {
    return fmt::format("temperature is {}, it must be 0 or more", temperature);
  }
  if (top_k < 0) return fmt::format("top_k is {}, it must be 0 (all tokens) or more", top_k);
  if (!(top_p > 0 && top_p <= 1))
    return fmt::format("top_p is {}, it must be above 0 and at most 1", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return fmt::format("min_p is {}, it must be from 0 to 1", min_p);
  if (!(repetition_penalty > 0) || !std::isfinite(repetition_penalty)) {
    return fmt::format("repetition_penalty is {}, it must be above 0", repetition_penalty);
  }
  for (const auto& [name, value] : {std::pair("frequency_penalty", frequency_penalty),
                                    std::pair("presence_penalty", presence_penalty)}) {
    if (!(value >= -2 && value <= 2))
      return fmt::format("{} is {}, it must be from -2 to 2", name, value);
  }
  for (const auto& [token, bias] : logit_bias) {
    if (token < 0) return fmt::format("logit_bias names token {}, ids begin at 0", token);
    if (!(bias >= -100 && bias <= 100)) {
      return fmt::format("logit_bias of token {} is {}, it must be from -100 to 100", token, bias);
    }
  }
  if (num_beams < 1 || num_beams > 64)
    return fmt::format("num_beams is {}, it must be from 1 to 64", num_beams);
  if (max_new_tokens < 1)
    return fmt::format("max_new_tokens is {}, it must be 1 or more", max_new_tokens);
  if (logprobs && (*logprobs < 0 || *logprobs > kMostLogprobs))
    return fmt::format("logprobs is {}, it must be from 0 to {}", *logprobs, kMostLogprobs);
  if (logprobs && num_beams > 1) return "logprobs are not computed in beam search";
  return {};
}

Sampler::Distribution Sampler::distribution(std::span<float> logits, TokenMask allowed) const {
  make_finite(logits);
  std::vector<std::int32_t> order = allowed_tokens(allowed, logits.size());
  assert(!order.empty());
  // Sorting the whole vocabulary would take as long as a part of the model: only what is needed.
  std::size_t sorted = 0;
  const auto sort_up_to = [&](std::size_t n) {
    n = std::min(n, order.size());
    if (n <= sorted) return;
    std::partial_sort(order.begin() + static_cast<std::ptrdiff_t>(sorted),
                      order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        const float x = logits[static_cast<std::size_t>(a)];
                        const float y = logits[static_cast<std::size_t>(b)];
                        return x != y ? x > y : a < b;
                      });
    sorted = n;
  };
  const bool filter = sampling_.temperature > 0;
  if (filter && sampling_.top_k > 0) {
    sort_up_to(static_cast<std::size_t>(sampling_.top_k));
    order.resize(sorted);
  }

  const double temperature = filter ? sampling_.temperature : 1.0;
  double largest = logits[static_cast<std::size_t>(order.front())];
  for (const std::int32_t token : order) {
    largest = std::max<double>(largest, logits[static_cast<std::size_t>(token)]);
  }
  const auto score = [&](std::int32_t token) {
    return (logits[static_cast<std::size_t>(token)] - largest) / temperature;
  };
  double sum = 0;
  for (const std::int32_t token : order) sum += std::exp(score(token));
  if (filter && sampling_.top_p < 1) {
    // The smallest set of likeliest tokens whose probabilities reach top_p.
    double reached = 0;
    std::size_t n = 0;
    while (n < order.size() && reached < sampling_.top_p * sum) {
      if (n == sorted) sort_up_to(2 * sorted + 64);
      reached += std::exp(score(order[n++]));
    }
    order.resize(n);
    sum = reached;
  }
  if (filter && sampling_.min_p > 0) {
    std::erase_if(order,
                  [&](std::int32_t token) { return std::exp(score(token)) < sampling_.min_p; });
    sum = 0;
    for (const std::int32_t token : order) sum += std::exp(score(token));
  }
  Distribution kept{.tokens = {}, .largest = largest / temperature, .log_sum = std::log(sum)};
  kept.tokens.reserve(order.size());
  for (const std::int32_t token : order) kept.tokens.push_back({token, score(token)});
  return kept;
}

std::int32_t Sampler::sample(std::span<float> logits, TokenMask allowed) {
  adjustments_.apply(logits);
  if (sampling_.temperature == 0) {
    make_finite(logits);
    if (allowed.empty()) {
      return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
    }
    const auto tokens = allowed_tokens(allowed, logits.size());
    return *std::ranges::max_element(
        tokens, {}, [&](std::int32_t token) { return logits[static_cast<std::size_t>(token)]; });
  }
  const auto [tokens, largest, log_sum] = distribution(logits, allowed);
  double left = draw(0);
  advance(1);
  for (const Candidate& c : tokens) {
    left -= std::exp(c.score - log_sum);
    if (left < 0) return c.token;
  }
  return tokens.back().token;
}

double Sampler::draw(std::size_t ahead) {
  while (draws_.size() <= ahead) {
    draws_.push_back(std::uniform_real_distribution<double>(0, 1)(random_));
  }
  return draws_[ahead];
}

std::vector<SamplingParams> Sampler::params(std::span<const std::int32_t> proposed) {
  rows_.resize(proposed.size() + 1);
  std::vector<SamplingParams> all;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (r > 0) adjustments_.add(proposed[r - 1]);
    rows_[r].assign(adjustments_.all().begin(), adjustments_.all().end());
    all.push_back({.temperature = sampling_.temperature,
                   .top_k = sampling_.top_k,
                   .top_p = sampling_.top_p,
                   .min_p = sampling_.min_p,
                   .draw = sampling_.temperature > 0 ? draw(r) : 0,
                   .adjustments = rows_[r]});
  }
  for (const std::int32_t token : proposed) adjustments_.remove(token);
  return all;
}

void Sampler::advance(std::size_t count) {
  count = std::min(count, draws_.size());
  draws_.erase(draws_.begin(), draws_.begin() + static_cast<std::ptrdiff_t>(count));
}

std::vector<Sampler::Candidate> Sampler::candidates(std::span<float> logits,
                                                    std::span<const std::int32_t> history,
                                                    std::size_t count, TokenMask allowed) {
  make_log_probabilities(logits);
  LogitAdjustments adjustments(sampling_);
  for (const std::int32_t token : history) adjustments.add(token);
  adjustments.apply(logits);
  auto [tokens, largest, log_sum] = distribution(logits, allowed);
  for (Candidate& c : tokens) c.score += largest;
  if (sampling_.temperature > 0) {
    // The largest of log p + Gumbel noise are a draw without replacement (Vieira, 2014).
    std::uniform_real_distribution<double> uniform(1e-300, 1);
    for (Candidate& c : tokens) c.noise = -std::log(-std::log(uniform(random_)));
  }
  count = std::min(count, tokens.size());
  std::partial_sort(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count),
                    tokens.end(), [](const Candidate& a, const Candidate& b) {
                      const double x = a.score + a.noise;
                      const double y = b.score + b.noise;
                      return x != y ? x > y : a.token < b.token;
                    });
  tokens.resize(count);
  return tokens;
}

}  // namespace fvlm
