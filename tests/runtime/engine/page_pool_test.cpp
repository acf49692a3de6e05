// The book-keeping of the KV cache: reference-counted pages, sequences that diverge inside and
// between pages (copy-on-write), and the prefix cache. A fake of the cache's memory shows whether
// sequences ever overwrite one another.
#include "runtime/engine/page_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "runtime/engine/prefix_cache.hpp"

namespace fvlm {
namespace {

using Pages = std::vector<std::int32_t>;
using Copies = std::vector<std::pair<std::int32_t, std::int32_t>>;

Sequence sequence_of(PagePool& pool, std::int64_t tokens) {
  Sequence sequence(pool);
  sequence.extend(tokens);
  return sequence;
}

// A fork that notes which pages were copied.
Sequence fork(const Sequence& parent, std::int64_t tokens, Copies* copies = nullptr) {
  return parent.fork(tokens, [&](std::int32_t from, std::int32_t to) {
    if (copies != nullptr) copies->emplace_back(from, to);
  });
}

TEST(PagePool, GivesEachPageOnceAndAgainAfterItsReturn) {
  PagePool pool(3);
  Pages taken = {pool.take(), pool.take(), pool.take()};
  EXPECT_EQ(pool.free_pages(), 0);
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(taken, (Pages{0, 1, 2}));
  pool.give_back(1);
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_EQ(pool.take(), 1);
}

TEST(PagePool, ASharedPageIsFreeAfterItsLastUser) {
  PagePool pool(1);
  const std::int32_t page = pool.take();
  pool.share(page);
  pool.share(page);
  pool.give_back(page);
  pool.give_back(page);
  EXPECT_EQ(pool.free_pages(), 0);
  pool.give_back(page);
  EXPECT_EQ(pool.free_pages(), 1);
}

TEST(Sequence, TakesPagesAsItGrows) {
  PagePool pool(4);
  Sequence sequence(pool);
  EXPECT_EQ(sequence.pages_needed(0), 0);
  EXPECT_EQ(sequence.pages_needed(1), 1);
  EXPECT_EQ(sequence.pages_needed(kPageTokens), 1);
  EXPECT_EQ(sequence.pages_needed(kPageTokens + 1), 2);
  sequence.extend(kPageTokens - 1);
  EXPECT_EQ(sequence.pages_needed(1), 0);
  EXPECT_EQ(sequence.pages_needed(2), 1);
  sequence.extend(1);
  EXPECT_EQ(sequence.pages().size(), 1U);
  sequence.extend(2 * kPageTokens + 1);
  EXPECT_EQ(sequence.length(), 3 * kPageTokens + 1);
  EXPECT_EQ(sequence.pages().size(), 4U);
  EXPECT_EQ(pool.free_pages(), 0);
}

TEST(Sequence, ShrinkingGivesBackThePagesBehindItsEnd) {
  PagePool pool(4);
  Sequence sequence = sequence_of(pool, 3 * kPageTokens + 1);
  sequence.shrink(1);
  EXPECT_EQ(sequence.length(), 3 * kPageTokens);
  EXPECT_EQ(pool.free_pages(), 1);
  sequence.shrink(kPageTokens - 1);
  EXPECT_EQ(pool.free_pages(), 1) << "one token of the page is left";
  sequence.extend(2);
  EXPECT_EQ(sequence.length(), 2 * kPageTokens + 3);
  EXPECT_EQ(pool.free_pages(), 1);
  sequence.shrink(sequence.length());
  EXPECT_EQ(pool.free_pages(), 4);
}

TEST(Sequence, GivesItsPagesBackWhenItGoes) {
  PagePool pool(5);
  {
    const Sequence sequence = sequence_of(pool, 3 * kPageTokens);
    EXPECT_EQ(pool.free_pages(), 2);
  }
  EXPECT_EQ(pool.free_pages(), 5);
}

TEST(Sequence, MovingPassesPagesOn) {
  PagePool pool(8);
  {
    Sequence from = sequence_of(pool, kPageTokens + 1);
    const Pages pages = from.pages();
    Sequence to(std::move(from));
    EXPECT_EQ(to.pages(), pages);
    EXPECT_EQ(to.length(), kPageTokens + 1);
    EXPECT_EQ(pool.free_pages(), 6);

    to = sequence_of(pool, 1);  // what it held before goes with the temporary
    EXPECT_EQ(to.length(), 1);
    EXPECT_EQ(pool.free_pages(), 7);

    std::vector<Sequence> many;
    for (int i = 0; i < 5; ++i) many.push_back(sequence_of(pool, 1));  // moves as it grows
    EXPECT_EQ(pool.free_pages(), 2);
    many.erase(many.begin() + 1, many.begin() + 3);
    EXPECT_EQ(pool.free_pages(), 4);
  }
  EXPECT_EQ(pool.free_pages(), 8);
}

TEST(Sequence, AForkBetweenPagesSharesThemAndCopiesNothing) {
  PagePool pool(4);
  std::optional<Sequence> parent = sequence_of(pool, 3 * kPageTokens);
  Copies copies;
  const Sequence child = fork(*parent, 2 * kPageTokens, &copies);
  EXPECT_TRUE(copies.empty());
  EXPECT_EQ(child.length(), 2 * kPageTokens);
  EXPECT_EQ(child.pages(), Pages(parent->pages().begin(), parent->pages().begin() + 2));
  EXPECT_EQ(pool.free_pages(), 1);
  parent.reset();  // the third page was its own
  EXPECT_EQ(pool.free_pages(), 2);
}

TEST(Sequence, AForkInsideAPageCopiesThatPage) {
  PagePool pool(6);
  const Sequence parent = sequence_of(pool, 2 * kPageTokens + 40);
  for (const std::int64_t rest : {std::int64_t{1}, std::int64_t{40}, kPageTokens - 1}) {
    const bool earlier = rest == kPageTokens - 1;  // inside the second page, not the last
    const std::int64_t tokens = (earlier ? kPageTokens : 2 * kPageTokens) + rest;
    const std::size_t cut = earlier ? 1 : 2;
    Copies copies;
    const Sequence child = fork(parent, tokens, &copies);
    ASSERT_EQ(copies.size(), 1U);
    EXPECT_EQ(copies[0].first, parent.pages()[cut]);
    EXPECT_EQ(copies[0].second, child.pages()[cut]);
    EXPECT_NE(copies[0].first, copies[0].second);
    EXPECT_TRUE(std::equal(child.pages().begin(), child.pages().end() - 1, parent.pages().begin()));
    EXPECT_EQ(child.length(), tokens);
    EXPECT_EQ(pool.free_pages(), 2);
  }
  EXPECT_EQ(pool.free_pages(), 3);
}

TEST(Sequence, AForkOfNothingIsEmpty) {
  PagePool pool(2);
  const Sequence parent = sequence_of(pool, 10);
  const Sequence child = fork(parent, 0);
  EXPECT_EQ(child.length(), 0);
  EXPECT_EQ(pool.free_pages(), 1);
}

// Writes what it is told where a sequence's pages say, as a backend does.
class Memory {
 public:
  explicit Memory(std::int64_t pages) : cells_(static_cast<std::size_t>(pages * kPageTokens)) {}

  int& at(const Sequence& sequence, std::int64_t position) {
    const auto page = sequence.pages()[static_cast<std::size_t>(position / kPageTokens)];
    return cells_[static_cast<std::size_t>(page * kPageTokens + position % kPageTokens)];
  }
  void copy(std::int32_t from, std::int32_t to) {
    std::copy_n(cells_.begin() + from * kPageTokens, kPageTokens,
                cells_.begin() + to * kPageTokens);
  }

 private:
  std::vector<int> cells_;
};

TEST(Sequence, SequencesThatShareNeverOverwriteOneAnother) {
  constexpr std::int64_t kPages = 64;
  struct Tracked {
    Sequence sequence;
    std::vector<int> tokens;
  };
  PagePool pool(kPages);
  Memory memory(kPages);
  std::mt19937 random(7);
  {
    std::vector<Tracked> all;
    const auto any = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    for (int step = 0; step < 5000; ++step) {
      const auto what = any(3);
      if (all.empty() || (what == 0 && all.size() < 12)) {
        all.push_back({Sequence(pool), {}});
      } else if (what == 1 && pool.free_pages() > 0 && all.size() < 12) {
        const Tracked& parent = all[any(all.size())];
        const auto tokens = static_cast<std::ptrdiff_t>(any(parent.tokens.size() + 1));
        auto child = parent.sequence.fork(
            tokens, [&](std::int32_t from, std::int32_t to) { memory.copy(from, to); });
        std::vector<int> beginning(parent.tokens.begin(), parent.tokens.begin() + tokens);
        all.push_back({std::move(child), std::move(beginning)});
      } else if (all.size() == 12 || pool.free_pages() < 4) {
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(any(all.size())));
      }
      if (all.empty()) continue;
      Tracked& grown = all[any(all.size())];
      const auto more = static_cast<std::int64_t>(any(100));
      if (grown.sequence.pages_needed(more) > pool.free_pages()) continue;
      const std::int64_t before = grown.sequence.length();
      grown.sequence.extend(more);
      for (std::int64_t i = 0; i < more; ++i) {
        grown.tokens.push_back(static_cast<int>(random()));
        memory.at(grown.sequence, before + i) = grown.tokens.back();
      }
      for (const Tracked& t : all) {
        ASSERT_EQ(t.sequence.length(), std::ssize(t.tokens));
        for (std::int64_t i = 0; i < t.sequence.length(); ++i) {
          ASSERT_EQ(memory.at(t.sequence, i), t.tokens[static_cast<std::size_t>(i)])
              << "step " << step;
        }
      }
    }
  }
  EXPECT_EQ(pool.free_pages(), kPages);
}

class PrefixCacheTest : public testing::Test {
 protected:
  static PositionKeys keys(const std::vector<std::int32_t>& tokens) {
    PositionKeys keys;
    for (const std::int32_t token : tokens) keys.push_back(token_key(token));
    return keys;
  }
  void insert(const std::vector<std::int32_t>& tokens) {
    cache_.insert(keys(tokens), sequence_of(pool_, std::ssize(tokens)));
  }
  PrefixCache::Match find(const std::vector<std::int32_t>& tokens) {
    return cache_.find(keys(tokens));
  }

  PagePool pool_{100};
  PrefixCache cache_;  // after the pool: its sequences give their pages back first
};

TEST_F(PrefixCacheTest, FindsTheLongestCommonBeginning) {
  EXPECT_EQ(find({1, 2, 3}).length, 0);
  EXPECT_EQ(find({1, 2, 3}).sequence, nullptr);
  insert({1, 2, 3, 4});
  insert({1, 2, 9});
  EXPECT_EQ(find({1, 2, 3, 5}).length, 3);
  EXPECT_EQ(find({1, 2, 3, 5}).sequence->length(), 4);
  EXPECT_EQ(find({1, 2, 9, 9}).sequence->length(), 3);
  EXPECT_EQ(find({1, 2}).length, 2);
  EXPECT_EQ(find({2, 1}).length, 0);
  EXPECT_EQ(find({}).length, 0);
}

TEST_F(PrefixCacheTest, WhatASequenceGoesOnFromIsDropped) {
  insert({1, 2});
  insert({1, 2, 3});
  insert({1, 2, 3});
  EXPECT_EQ(pool_.free_pages(), 99);
  insert({1, 2});  // shorter: both stay
  EXPECT_EQ(pool_.free_pages(), 98);
}

TEST_F(PrefixCacheTest, WhatWasUsedLastIsDroppedLast) {
  insert({1});
  insert({2});
  insert({3});
  find({1, 5});
  cache_.drop_oldest();
  EXPECT_EQ(find({2}).length, 0);
  cache_.drop_oldest();
  EXPECT_EQ(find({3}).length, 0);
  EXPECT_EQ(find({1}).length, 1);
  cache_.drop_oldest();
  EXPECT_TRUE(cache_.empty());
  EXPECT_EQ(pool_.free_pages(), 100);
}

TEST_F(PrefixCacheTest, HoldsNoMoreThanSomeSequences) {
  for (std::int32_t i = 0; i < 90; ++i) insert({i});
  EXPECT_EQ(pool_.free_pages(), 100 - 32);
  EXPECT_EQ(find({0}).length, 0);
  EXPECT_EQ(find({89}).length, 1);
}

}  // namespace
}  // namespace fvlm
