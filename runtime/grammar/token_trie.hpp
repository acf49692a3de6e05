// A vocabulary's tokens by their bytes, as a trie in preorder: a walk over it looks at each common
// beginning of tokens once and jumps over what cannot follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {

class TokenTrie {
 public:
  struct Node {
    std::uint32_t next;         // after all that begins like this one
    std::uint32_t first_token;  // in tokens(): those that end here, up to the next node's
    std::uint16_t depth;        // bytes, from 1
    std::uint8_t byte;
  };

  // The bytes of each token, empty where a grammar allows none. Ids below `vocabulary` can be
  // sampled; masks have bits for these. An answer ends with one of `end_tokens`.
  TokenTrie(std::vector<std::string> bytes, std::size_t vocabulary,
            std::vector<std::int32_t> end_tokens);
  // Of a tokeniser, without its control tokens.
  TokenTrie(const Tokenizer& tokenizer, std::size_t vocabulary,
            std::vector<std::int32_t> end_tokens);

  std::span<const Node> nodes() const { return std::span(nodes_).first(nodes_.size() - 1); }
  std::span<const std::int32_t> tokens_at(std::size_t node) const {
    const std::uint32_t first = nodes_[node].first_token;
    return std::span(tokens_).subspan(first, nodes_[node + 1].first_token - first);
  }
  // Of a token; empty for end tokens and ids without bytes.
  std::string_view bytes(std::int32_t token) const;
  std::span<const std::int32_t> end_tokens() const { return end_tokens_; }
  std::size_t mask_words() const { return (vocabulary_ + 31) / 32; }
  std::size_t longest() const { return longest_; }  // token, in bytes

 private:
  std::vector<Node> nodes_;  // and one after the last
  std::vector<std::int32_t> tokens_;
  std::vector<std::string> bytes_;
  std::vector<std::int32_t> end_tokens_;
  std::size_t vocabulary_;
  std::size_t longest_ = 0;
};

}  // namespace fvlm
