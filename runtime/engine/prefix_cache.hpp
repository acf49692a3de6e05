// Finished sequences that stay in the KV cache as long as there are pages, so that a later prompt
// with the same prefix (system prompt, earlier turns, the same image) skips its prefill. Evicts the
// least recently used.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <utility>

#include "runtime/engine/prompt_layout.hpp"

namespace fvlm {

class PrefixCache {
 public:
  struct Match {
    const Sequence* sequence = nullptr;
    std::int64_t length = 0;  // positions of the common prefix
  };

  // The sequence with the longest common prefix; it becomes the most recently used.
  Match find(const PositionKeys& keys) {
    Match best;
    auto found = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      const auto mismatch =
          std::mismatch(keys.begin(), keys.end(), entry->keys.begin(), entry->keys.end());
      const auto length = static_cast<std::int64_t>(mismatch.first - keys.begin());
      if (length > best.length) {
        best = {&entry->sequence, length};
        found = entry;
      }
    }
    if (found != entries_.end()) entries_.splice(entries_.begin(), entries_, found);
    return best;
  }

  // Caches a sequence whose positions are `keys`; one that is its prefix is dropped.
  void insert(PositionKeys keys, Sequence sequence) {
    std::erase_if(entries_, [&](const Entry& e) {
      return e.keys.size() <= keys.size() && std::equal(e.keys.begin(), e.keys.end(), keys.begin());
    });
    entries_.push_front({std::move(keys), std::move(sequence)});
    if (entries_.size() > kEntries) entries_.pop_back();
  }

  bool empty() const { return entries_.empty(); }
  void drop_oldest() { entries_.pop_back(); }

 private:
  static constexpr std::size_t kEntries = 32;

  struct Entry {
    PositionKeys keys;
    Sequence sequence;
  };
  std::list<Entry> entries_;  // most recently used first
};

}  // namespace fvlm
