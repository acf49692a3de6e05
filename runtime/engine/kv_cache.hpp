// Book-keeping of an engine's KV cache: the page pool, and the prefix cache of finished sequences
// in it, which are evicted when running requests need their pages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/engine/page_pool.hpp"
#include "runtime/engine/prefix_cache.hpp"
#include "runtime/engine/prompt_layout.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

class KvCache {
 public:
  explicit KvCache(ModelRunner& runner)
      : runner_(runner), pages_(runner.facts().cache_pages), pool_(pages_) {}

  std::int64_t pages() const { return pages_; }
  std::int64_t free_pages() const { return pool_.free_pages(); }

  // A sequence that shares the longest cached prefix of a prompt. It never includes the last
  // position, whose logits are needed; images are matched whole or not at all.
  Sequence begin(const PositionKeys& keys, std::span<const PromptSpan> spans) {
    make_room(1);  // before the lookup: eviction must not drop what it finds
    const PrefixCache::Match match = prefixes_.find(keys);
    std::int64_t length = std::min(match.length, std::ssize(keys) - 1);
    for (const PromptSpan& span : spans) {
      if (span.image >= 0 && length > span.position && length < span.end()) length = span.position;
    }
    return length > 0 ? fork(*match.sequence, length) : Sequence(pool_);
  }

  // Reserves pages for more positions of a sequence. Throws Error if eviction cannot free enough.
  void extend(Sequence& sequence, std::int64_t tokens) {
    make_room(sequence.pages_needed(tokens));
    sequence.extend(tokens);
  }

  // A sequence that forks from the first `tokens` of another. Throws Error as extend() does.
  Sequence fork(const Sequence& parent, std::int64_t tokens) {
    make_room(1);
    return parent.fork(tokens,
                       [this](std::int32_t from, std::int32_t to) { runner_.copy_page(from, to); });
  }

  // Puts a finished sequence whose positions are `keys` into the prefix cache.
  void keep(PositionKeys keys, Sequence sequence) {
    prefixes_.insert(std::move(keys), std::move(sequence));
  }

 private:
  void make_room(std::int64_t pages) {
    while (pool_.free_pages() < pages && !prefixes_.empty()) prefixes_.drop_oldest();
    if (pool_.free_pages() < pages) throw make_error("the KV cache of {} pages is full", pages_);
  }

  ModelRunner& runner_;
  std::int64_t pages_;
  PagePool pool_;
  PrefixCache prefixes_;
};

}  // namespace fvlm
