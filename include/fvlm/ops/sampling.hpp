// How the next token of a row is sampled from its logits: an optional part of a backend's contract,
// for those that sample where the logits are. In this order: tokens that are not allowed are left
// out, logits are adjusted (logit_bias and penalties), temperature, top-k, top-p, min-p, and the
// first token at which the cumulative probability exceeds `draw`, from the largest logit down (of
// equal ones the lower id first) if top-k or top-p is in use, else by id. So the host's sampler
// gives the same token.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "fvlm/core/view.hpp"

namespace fvlm {

// What the logit of one token becomes before the temperature.
struct LogitAdjustment {
  std::int32_t token = 0;
  std::int32_t count = 0;  // how often the answer has it
  double bias = 0;
  double penalty = 1;   // Keskar et al., "CTRL", 2019
  double subtract = 0;  // frequency and presence penalties
};

// Rounded after each step, as generate() does, so that no two steps become one (FMA).
constexpr float adjusted(float logit, const LogitAdjustment& by) {
  logit = static_cast<float>(logit + by.bias);
  logit = static_cast<float>(logit > 0 ? logit / by.penalty : logit * by.penalty);
  return static_cast<float>(logit - by.subtract);
}

struct SamplingParams {
  double temperature = 0;  // 0: greedy
  std::int64_t top_k = 0;  // 0: all tokens
  double top_p = 1;
  double min_p = 0;  // least probability, as a fraction of the largest
  double draw = 0;   // uniform in [0, 1)
  std::span<const LogitAdjustment> adjustments{};  // at most one for each token
  // Token t is allowed if bit t % 32 of word t / 32 is set: as many words as the vocabulary needs,
  // at least one bit set. Empty: all are.
  std::span<const std::uint32_t> allowed{};
};

// 32-bit words of a bit for each token.
constexpr std::int64_t token_mask_words(std::int64_t vocabulary) {
  return (vocabulary + 31) / 32;
}

template <class B>
concept SamplesTokens = requires(B& backend, typename B::Context& context, View<float> logits,
                                 std::span<const SamplingParams> params) {
  // Whether the backend supports these; `draw`, `adjustments` and `allowed` do not count.
  { B::can_sample(params[0]) } -> std::same_as<bool>;
  // logits [rows, vocab], which may be changed, and one of the parameters for each row -> one token
  // for each row, in host memory, valid until the context's next call.
  { backend.sample(context, logits, params) } -> std::same_as<std::span<const std::int32_t>>;
};

}  // namespace fvlm
