// Vocabularies for tests of grammars, and answers drawn from what a grammar allows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fvlm/grammar.hpp"
#include "runtime/grammar/token_masks.hpp"
#include "runtime/grammar/token_trie.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {

// The demo model's tokens, or Qwen2's.
inline std::shared_ptr<const TokenTrie> trie_of(const std::filesystem::path& folder) {
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const auto end = tokenizer.special_token("<|im_end|>");
  return std::make_shared<TokenTrie>(tokenizer, static_cast<std::size_t>(tokenizer.size()) + 5,
                                     std::vector<std::int32_t>{end.value()});
}

inline const std::shared_ptr<const TokenTrie>& demo_trie() {
  static const auto trie = trie_of(std::filesystem::path(FVLM_SOURCE) / "tools/demo/model");
  return trie;
}

inline std::vector<std::int32_t> allowed_tokens(std::span<const std::uint32_t> mask) {
  std::vector<std::int32_t> tokens;
  for (std::size_t t = 0; t < 32 * mask.size(); ++t) {
    if ((mask[t / 32] >> (t % 32) & 1) != 0) tokens.push_back(static_cast<std::int32_t>(t));
  }
  return tokens;
}

struct DrawnAnswer {
  std::string text;
  bool ended = false;     // by itself
  std::string problem{};  // a token was missing or refused
};

// At most `most` tokens, drawn evenly from the allowed ones; what closes something is preferred, as
// is the end.
inline DrawnAnswer draw_answer(TokenMasks& masks, const TokenTrie& trie, std::uint32_t seed,
                               int most) {
  std::mt19937 random(seed);
  DrawnAnswer answer;
  TokenMasks::StateId state = masks.start();
  const std::int32_t end = trie.end_tokens().front();
  for (int step = 0; step < most; ++step) {
    const std::vector<std::int32_t> tokens = allowed_tokens(masks.mask(state));
    if (tokens.empty()) {
      answer.problem = "nothing is allowed";
      return answer;
    }
    std::vector<std::int32_t> closing;
    bool may_end = false;
    for (const std::int32_t token : tokens) {
      if (token == end) may_end = true;
      const std::string_view bytes = trie.bytes(token);
      if (bytes.size() == 1 && std::string_view("\"}],:").find(bytes[0]) != std::string_view::npos)
        closing.push_back(token);
    }
    if (may_end && (tokens.size() == 1 || random() % 4 == 0)) {
      answer.ended = true;
      return answer;
    }
    std::int32_t token = end;
    while (token == end) token = tokens[random() % tokens.size()];
    if (!closing.empty() && random() % 3 == 0) token = closing[random() % closing.size()];
    answer.text += trie.bytes(token);
    state = masks.advance(state, token);
    if (state == TokenMasks::kDead) {
      answer.problem = "an allowed token is refused";
      return answer;
    }
  }
  return answer;
}

}  // namespace fvlm
