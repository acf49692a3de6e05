#include "runtime/engine/grammar_library.hpp"

#include <algorithm>

namespace fvlm {

void GrammarLibrary::prepare() {
  std::call_once(made_, [this] {
    trie_ =
        std::make_shared<TokenTrie>(tokenizer_, static_cast<std::size_t>(vocabulary_), end_tokens_);
  });
}

std::shared_ptr<TokenMasks> GrammarLibrary::masks(const Grammar& grammar) {
  const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.source == grammar.source();
  });
  if (known != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, known);
  } else {
    prepare();
    entries_.push_front(
        {grammar.source(), std::make_shared<TokenMasks>(grammar.automaton(), trie_)});
  }
  return entries_.front().masks;
}

void GrammarLibrary::tidy() {
  std::size_t unused = 0;
  std::size_t bytes = 0;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const bool in_use = entry->masks.use_count() > 1;
    if (!in_use && (++unused > kMostGrammars || bytes > kMostBytes)) {
      entry = entries_.erase(entry);
      continue;
    }
    bytes += entry->masks->bytes();
    ++entry;
  }
  if (bytes <= kMostBytes) return;
  for (Entry& entry : entries_) entry.masks->clear();
}

}  // namespace fvlm
