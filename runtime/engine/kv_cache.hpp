// Book-keeping of an engine's KV cache: the pages of the runner's memory that sequences hold, and
// the finished sequences that are kept as long as there is room, for prompts that begin in the same
// way.
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

  // A sequence that holds as much of the beginning of a prompt as is kept of an earlier one. The
  // last position is never among it, for it must run for its logits; images are taken whole or not
  // at all.
  Sequence begin(const PositionKeys& keys, std::span<const PromptSpan> spans) {
    make_room(1);  // before the search: what it drops must not be what is found
    const PrefixCache::Match match = prefixes_.find(keys);
    std::int64_t length = std::min(match.length, std::ssize(keys) - 1);
    for (const PromptSpan& span : spans) {
      if (span.image >= 0 && length > span.position && length < span.end()) length = span.position;
    }
    return length > 0 ? fork(*match.sequence, length) : Sequence(pool_);
  }

  // Gives a sequence room for more positions. Throws Error if nothing kept can go to make it.
  void extend(Sequence& sequence, std::int64_t tokens) {
    make_room(sequence.pages_needed(tokens));
    sequence.extend(tokens);
  }

  // A sequence that goes on from the first `tokens` of another. Throws Error as extend() does.
  Sequence fork(const Sequence& parent, std::int64_t tokens) {
    make_room(1);
    return parent.fork(tokens,
                       [this](std::int32_t from, std::int32_t to) { runner_.copy_page(from, to); });
  }

  // Keeps a sequence whose positions are `keys`.
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
