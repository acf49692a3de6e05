// Where an answer is in its grammar: which tokens may come next, and which of a draft's could.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/grammar/token_masks.hpp"

namespace fvlm {

// Answers with the same grammar share its masks.
class AnswerGrammar {
 public:
  explicit AnswerGrammar(std::shared_ptr<TokenMasks> masks) : masks_(std::move(masks)) {}

  // A bit for each token that may follow those of the answer so far; one is set at least. Tokens
  // have only been added since the last call. Valid until the masks are cleared. Throws Error if
  // the vocabulary has no token that could follow.
  std::span<const std::uint32_t> mask(std::span<const std::int32_t> answer);
  // The same for any answer, read from its beginning: for beams.
  std::span<const std::uint32_t> mask_of(std::span<const std::int32_t> answer) const;

  // The masks after none, one, two ... of the draft's tokens that follow `answer`: as many and one
  // more as the grammar allows of them.
  std::vector<std::span<const std::uint32_t>> masks(std::span<const std::int32_t> answer,
                                                    std::span<const std::int32_t> draft);

 private:
  void read(std::span<const std::int32_t> answer);
  std::span<const std::uint32_t> checked_mask(TokenMasks::StateId state) const;

  std::shared_ptr<TokenMasks> masks_;
  TokenMasks::StateId state_ = TokenMasks::kDead;
  std::size_t tokens_ = 0;       // of the answer, that led to it
  std::uint64_t clearings_ = 0;  // of the masks, before
};

}  // namespace fvlm
