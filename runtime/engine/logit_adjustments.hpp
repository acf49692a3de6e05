// What the sampler changes in the logits of one answer: the request's biases, and the penalties of
// the tokens that the answer has. Kept as tokens come, so that a step takes time by the number of
// different tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/ops/sampling.hpp"

namespace fvlm {

class LogitAdjustments {
 public:
  explicit LogitAdjustments(const Sampling& sampling);

  // The answer has one more, or less, of this token.
  void add(std::int32_t token) { count(token, 1); }
  void remove(std::int32_t token) { count(token, -1); }

  // At most one for each token.
  std::span<const LogitAdjustment> all() const { return all_; }
  // Tokens that are no index of `logits` are passed over.
  void apply(std::span<float> logits) const;

 private:
  LogitAdjustment& of(std::int32_t token);
  void count(std::int32_t token, std::int32_t change);

  double repetition_;
  double frequency_;
  double presence_;
  std::vector<LogitAdjustment> all_;
  std::unordered_map<std::int32_t, std::size_t> places_;  // in all_, by token
};

}  // namespace fvlm
