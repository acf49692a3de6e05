// The masks of the grammars that were used last, so that requests with the same grammar, such as
// those of a camera, find tokens once. For the engine's thread, but for prepare().
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/grammar.hpp"
#include "runtime/grammar/token_masks.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {

class GrammarLibrary {
 public:
  // `vocabulary`: ids below it can be sampled. `tokenizer` lives as long as this.
  GrammarLibrary(const Tokenizer& tokenizer, std::int64_t vocabulary,
                 std::vector<std::int32_t> end_tokens)
      : tokenizer_(tokenizer), vocabulary_(vocabulary), end_tokens_(std::move(end_tokens)) {}

  // Makes the trie of the vocabulary, which takes some 50 ms, unless there is one: so that masks()
  // need not.
  void prepare();
  std::shared_ptr<TokenMasks> masks(const Grammar& grammar);

  // Keeps the memory of all masks within bounds: forgets grammars that no answer uses, and clears
  // masks. To be called between passes.
  void tidy();

 private:
  static constexpr std::size_t kMostGrammars = 32;  // beside those in use
  static constexpr std::size_t kMostBytes = std::size_t{256} << 20;

  struct Entry {
    std::string source;
    std::shared_ptr<TokenMasks> masks;
  };

  const Tokenizer& tokenizer_;
  std::int64_t vocabulary_;
  std::vector<std::int32_t> end_tokens_;
  std::once_flag made_;
  std::shared_ptr<const TokenTrie> trie_;
  std::list<Entry> entries_;  // the last used first
};

}  // namespace fvlm
