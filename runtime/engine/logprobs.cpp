#include "runtime/engine/logprobs.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "runtime/engine/sampler.hpp"

namespace fvlm {

Logprobs::Logprobs(std::span<const float> logits, std::int64_t count)
    : logits_(logits.begin(), logits.end()) {
  make_finite(logits_);
  log_sum_ = log_sum_of(logits_);

  std::vector<std::int32_t> order(logits_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<std::ptrdiff_t>(count, std::ssize(order));
  std::partial_sort(order.begin(), end, order.end(), [this](std::int32_t a, std::int32_t b) {
    const float x = logits_[static_cast<std::size_t>(a)];
    const float y = logits_[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  for (auto token = order.begin(); token != end; ++token) top_.push_back(at(*token));
}

TokenLogprob Logprobs::at(std::int32_t token) const {
  return {.token = token, .logprob = logits_[static_cast<std::size_t>(token)] - log_sum_};
}

TokenLogprobs Logprobs::of(std::int32_t chosen) const {
  return {.chosen = at(chosen), .top = top_};
}

}  // namespace fvlm
