#include "runtime/grammar/token_trie.hpp"

#include <algorithm>
#include <utility>

namespace fvlm {
namespace {

std::vector<std::string> bytes_of(const Tokenizer& tokenizer) {
  std::vector<std::string> bytes;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    bytes.emplace_back(tokenizer.is_special(id) ? "" : tokenizer.token_bytes(id));
  }
  return bytes;
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, std::size_t vocabulary,
                     std::vector<std::int32_t> end_tokens)
    : TokenTrie(bytes_of(tokenizer), vocabulary, std::move(end_tokens)) {}

TokenTrie::TokenTrie(std::vector<std::string> bytes, std::size_t vocabulary,
                     std::vector<std::int32_t> end_tokens)
    : bytes_(std::move(bytes)), end_tokens_(std::move(end_tokens)), vocabulary_(vocabulary) {
  if (bytes_.size() > vocabulary_) bytes_.resize(vocabulary_);
  std::erase_if(end_tokens_,
                [&](std::int32_t t) { return static_cast<std::size_t>(t) >= vocabulary_; });
  for (const std::int32_t token : end_tokens_) {
    if (static_cast<std::size_t>(token) < bytes_.size())
      bytes_[static_cast<std::size_t>(token)].clear();
  }
  for (std::size_t id = 0; id < bytes_.size(); ++id) {
    if (!bytes_[id].empty()) tokens_.push_back(static_cast<std::int32_t>(id));
    longest_ = std::max(longest_, bytes_[id].size());
  }
  std::sort(tokens_.begin(), tokens_.end(), [&](std::int32_t a, std::int32_t b) {
    const int order = this->bytes(a).compare(this->bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<std::size_t> open;  // the nodes on the way to the last token
  const auto close = [&](std::size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      nodes_[open.back()].next = static_cast<std::uint32_t>(nodes_.size());
    }
  };
  std::string_view last;
  for (std::size_t t = 0; t < tokens_.size(); ++t) {
    const std::string_view text = this->bytes(tokens_[t]);
    const auto differ = std::mismatch(last.begin(), last.end(), text.begin(), text.end());
    const auto common = static_cast<std::size_t>(differ.second - text.begin());
    close(common);
    for (std::size_t i = common; i < text.size(); ++i) {
      open.push_back(nodes_.size());
      nodes_.push_back({.next = 0,
                        .first_token = static_cast<std::uint32_t>(t),
                        .depth = static_cast<std::uint16_t>(i + 1),
                        .byte = static_cast<std::uint8_t>(text[i])});
    }
    last = text;
  }
  close(0);
  const auto end = static_cast<std::uint32_t>(nodes_.size());
  nodes_.push_back({.next = end,
                    .first_token = static_cast<std::uint32_t>(tokens_.size()),
                    .depth = 0,
                    .byte = 0});
}

std::string_view TokenTrie::bytes(std::int32_t token) const {
  const auto id = static_cast<std::size_t>(token);
  return id < bytes_.size() ? std::string_view(bytes_[id]) : std::string_view();
}

}  // namespace fvlm
