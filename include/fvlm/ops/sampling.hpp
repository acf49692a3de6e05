// How the next token of a row is sampled from its logits: an optional part of a backend's contract,
// for those that sample where the logits are. In this order: repetition penalty, temperature,
// top-k, top-p, and the first token at which the cumulative probability exceeds `draw`, from the
// largest logit down (of equal ones the lower id first) if tokens were left out, else by id. So the
// host's sampler gives the same token.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "fvlm/core/view.hpp"

namespace fvlm {

struct SamplingParams {
  double temperature = 0;  // 0: greedy
  std::int64_t top_k = 0;  // 0: all tokens
  double top_p = 1;
  double repetition_penalty = 1;
  double draw = 0;                          // uniform in [0, 1)
  std::span<const std::int32_t> history{};  // tokens that the repetition penalty applies to
};

template <class B>
concept SamplesTokens = requires(B& backend, typename B::Context& context, View<float> logits,
                                 std::span<const SamplingParams> params) {
  // Whether the backend supports these; `draw` and `history` do not count.
  { B::can_sample(params[0]) } -> std::same_as<bool>;
  // logits [rows, vocab], which may be changed, and one of the parameters for each row -> one token
  // for each row, in host memory, valid until the context's next call.
  { backend.sample(context, logits, params) } -> std::same_as<std::span<const std::int32_t>>;
};

}  // namespace fvlm
