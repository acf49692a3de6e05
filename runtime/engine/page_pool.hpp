// The pages of the paged KV cache, reference-counted: sequences with a common prefix (the system
// prompt, an earlier turn, beams) share pages; the page where they diverge is copied
// (copy-on-write).
#pragma once

#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

#include "fvlm/ops/batch.hpp"

namespace fvlm {

class PagePool {
 public:
  explicit PagePool(std::int64_t pages) : users_(static_cast<std::size_t>(pages), 0) {
    for (std::int64_t page = pages; page-- > 0;) free_.push_back(static_cast<std::int32_t>(page));
  }

  std::int64_t free_pages() const { return static_cast<std::int64_t>(free_.size()); }

  // An exclusive page; there must be a free one.
  std::int32_t take() {
    assert(!free_.empty());
    const std::int32_t page = free_.back();
    free_.pop_back();
    users_[static_cast<std::size_t>(page)] = 1;
    return page;
  }
  void share(std::int32_t page) { ++users_[static_cast<std::size_t>(page)]; }
  void give_back(std::int32_t page) {
    if (--users_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
  }

 private:
  std::vector<std::int32_t> users_;  // reference counts, by page
  std::vector<std::int32_t> free_;
};

// The cached tokens of one sequence. Releases its pages when destroyed.
class Sequence {
 public:
  explicit Sequence(PagePool& pool) : pool_(&pool) {}
  Sequence(Sequence&& other) noexcept
      : pool_(other.pool_),
        pages_(std::exchange(other.pages_, {})),
        length_(std::exchange(other.length_, 0)) {}
  Sequence& operator=(Sequence&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(pages_, other.pages_);
    std::swap(length_, other.length_);
    return *this;
  }
  ~Sequence() {
    for (const std::int32_t page : pages_) pool_->give_back(page);
  }

  // Pages that must be free for `tokens` more tokens.
  std::int64_t pages_needed(std::int64_t tokens) const {
    return (length_ + tokens + kPageTokens - 1) / kPageTokens - std::ssize(pages_);
  }
  // Reserves pages for `tokens` more and counts them as cached.
  void extend(std::int64_t tokens) {
    for (std::int64_t n = pages_needed(tokens); n > 0; --n) pages_.push_back(pool_->take());
    length_ += tokens;
  }

  // Drops the last `tokens`.
  void shrink(std::int64_t tokens) {
    assert(tokens <= length_);
    length_ -= tokens;
    for (; (std::ssize(pages_) - 1) * kPageTokens >= length_ && !pages_.empty();
         pages_.pop_back()) {
      pool_->give_back(pages_.back());
    }
  }

  // A sequence that begins with the first `tokens` of this one. Whole pages are shared; the last
  // one, if only part of it is used, is copied by `copy(from, to)`, for which a page must be free.
  template <class Copy>
  Sequence fork(std::int64_t tokens, const Copy& copy) const {
    assert(tokens <= length_);
    Sequence child(*pool_);
    for (std::int64_t i = 0; i < tokens / kPageTokens; ++i) {
      child.pages_.push_back(pages_[static_cast<std::size_t>(i)]);
      pool_->share(child.pages_.back());
    }
    child.length_ = tokens / kPageTokens * kPageTokens;
    if (const std::int64_t rest = tokens % kPageTokens; rest > 0) {
      child.extend(rest);
      copy(pages_[static_cast<std::size_t>(tokens / kPageTokens)], child.pages_.back());
    }
    return child;
  }

  std::int64_t length() const { return length_; }
  const std::vector<std::int32_t>& pages() const { return pages_; }

 private:
  PagePool* pool_;
  std::vector<std::int32_t> pages_;
  std::int64_t length_ = 0;
};

}  // namespace fvlm
