// How a row's next token is sampled from its logits, for backends that can sample on the device.
// The steps and their order are those of runtime/engine/sampler.hpp, which samples on the host;
// both give the same tokens for the same draw.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "fvlm/core/view.hpp"

namespace fvlm {

struct TokenChoice {
  double temperature = 0;  // 0: greedy
  std::int64_t top_k = 0;  // 0: all tokens
  double top_p = 1;
  double repetition_penalty = 1;
  double draw = 0;                          // uniform in [0, 1)
  std::span<const std::int32_t> history{};  // tokens that the penalty lowers
};

// can_choose(choice): whether the backend supports it. choose(context, logits [rows, vocab],
// choices of all rows): the tokens, on the host, until the next call.
template <class B>
concept ChoosesTokens = requires(B& backend, typename B::Context& context, View<float> logits,
                                 std::span<const TokenChoice> choices) {
  { B::can_choose(choices[0]) } -> std::same_as<bool>;
  { backend.choose(context, logits, choices) } -> std::same_as<std::span<const std::int32_t>>;
};

}  // namespace fvlm
