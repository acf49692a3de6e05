// Log probabilities of the tokens that may follow, before the sampler changes their logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fvlm/engine.hpp"

namespace fvlm {

class Logprobs {
 public:
  // Of logits [vocab], with the `count` likeliest tokens.
  Logprobs(std::span<const float> logits, std::int64_t count);

  // Where this token is chosen. Texts are the tokenizer's to add.
  TokenLogprobs of(std::int32_t chosen) const;

 private:
  TokenLogprob at(std::int32_t token) const;

  std::vector<float> logits_;
  double log_sum_ = 0;  // of their exponentials
  std::vector<TokenLogprob> top_;
};

}  // namespace fvlm
