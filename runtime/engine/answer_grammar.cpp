#include "runtime/engine/answer_grammar.hpp"

#include <algorithm>

#include "fvlm/error.hpp"

namespace fvlm {
namespace {

bool has_bit(std::span<const std::uint32_t> mask, std::int32_t token) {
  const auto t = static_cast<std::uint32_t>(token);
  return t / 32 < mask.size() && (mask[t / 32] >> (t % 32) & 1) != 0;
}

bool is_empty(std::span<const std::uint32_t> mask) {
  return std::all_of(mask.begin(), mask.end(), [](std::uint32_t word) { return word == 0; });
}

}  // namespace

std::span<const std::uint32_t> AnswerGrammar::mask(std::span<const std::int32_t> answer) {
  read(answer);
  return checked_mask(state_);
}

std::span<const std::uint32_t> AnswerGrammar::mask_of(std::span<const std::int32_t> answer) const {
  AnswerGrammar anew(masks_);
  return anew.mask(answer);
}

std::vector<std::span<const std::uint32_t>> AnswerGrammar::masks(
    std::span<const std::int32_t> answer, std::span<const std::int32_t> draft) {
  std::vector all = {mask(answer)};
  TokenMasks::StateId state = state_;
  for (const std::int32_t token : draft) {
    if (!has_bit(all.back(), token)) break;
    state = masks_->advance(state, token);
    if (state == TokenMasks::kDead) break;  // an end token
    const std::span<const std::uint32_t> mask = masks_->mask(state);
    if (is_empty(mask)) break;
    all.push_back(mask);
  }
  return all;
}

// When the masks have been cleared, their states have new numbers.
void AnswerGrammar::read(std::span<const std::int32_t> answer) {
  if (state_ == TokenMasks::kDead || clearings_ != masks_->clearings()) {
    state_ = masks_->start();
    tokens_ = 0;
    clearings_ = masks_->clearings();
  }
  for (; tokens_ < answer.size(); ++tokens_) {
    state_ = masks_->advance(state_, answer[tokens_]);
    if (state_ == TokenMasks::kDead) {
      throw Error("the grammar can be read in too many ways: make its alternatives differ sooner");
    }
  }
}

std::span<const std::uint32_t> AnswerGrammar::checked_mask(TokenMasks::StateId state) const {
  const std::span<const std::uint32_t> mask = masks_->mask(state);
  if (is_empty(mask)) {
    throw Error("the model has no token that its answer's grammar allows next");
  }
  return mask;
}

}  // namespace fvlm
