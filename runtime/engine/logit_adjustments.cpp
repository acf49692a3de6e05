#include "runtime/engine/logit_adjustments.hpp"

namespace fvlm {

LogitAdjustments::LogitAdjustments(const Sampling& sampling)
    : repetition_(sampling.repetition_penalty),
      frequency_(sampling.frequency_penalty),
      presence_(sampling.presence_penalty) {
  for (const TokenBias& one : sampling.logit_bias) of(one.token).bias += one.bias;
}

LogitAdjustment& LogitAdjustments::of(std::int32_t token) {
  const auto [place, is_new] = places_.try_emplace(token, all_.size());
  if (is_new) all_.push_back({.token = token});
  return all_[place->second];
}

void LogitAdjustments::count(std::int32_t token, std::int32_t change) {
  if (repetition_ == 1 && frequency_ == 0 && presence_ == 0) return;
  LogitAdjustment& one = of(token);
  one.count += change;
  one.penalty = one.count > 0 ? repetition_ : 1;
  one.subtract = one.count > 0 ? one.count * frequency_ + presence_ : 0;
}

void LogitAdjustments::apply(std::span<float> logits) const {
  for (const LogitAdjustment& one : all_) {
    if (one.token < 0 || static_cast<std::size_t>(one.token) >= logits.size()) continue;
    float& logit = logits[static_cast<std::size_t>(one.token)];
    logit = adjusted(logit, one);
  }
}

}  // namespace fvlm
