// Byte pair encoding: a word starts as one token per byte, and of all neighbouring pairs the one
// with the lowest rank (leftmost first) merges into one token until no pair can.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <string_view>
#include <vector>

namespace fvlm {

struct Merge {
  static constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t rank = kNoRank;  // position in the list of merges; the lowest merges first
  std::int32_t result = 0;       // token id of the two parts joined

  explicit operator bool() const { return rank != kNoRank; }
};

// Merges by their pair of token ids: a hash table with open addressing, at most half full.
class MergeTable {
 public:
  explicit MergeTable(std::size_t capacity = 0);

  // False if the pair is there already. At most `capacity` pairs may be inserted.
  bool insert(std::int32_t left, std::int32_t right, Merge merge);

  // The pair's merge; false in a condition if there is none.
  Merge find(std::int32_t left, std::int32_t right) const;

 private:
  struct Slot {
    std::uint64_t pair;
    Merge merge;  // without a rank while the slot is free
  };

  // The slot that holds `pair`, or the free one where it would go.
  std::size_t slot_of(std::uint64_t pair) const;

  int hash_shift_;
  std::vector<Slot> slots_;  // a power of two
};

// Encodes words; keeps its working memory from one to the next. Time for n bytes: n log n.
class BytePairEncoder {
 public:
  // `byte_tokens` are the ids of the 256 single bytes. Both arguments must outlive the encoder.
  BytePairEncoder(const std::array<std::int32_t, 256>& byte_tokens, const MergeTable& merges)
      : byte_tokens_(byte_tokens), merges_(merges) {}

  // Appends the ids of `word`, shorter than 2^32 bytes.
  void encode(std::string_view word, std::vector<std::int32_t>& ids);

 private:
  // A token of the word, linked to its neighbours. A merge extends the left one and unlinks the
  // right one.
  struct Symbol {
    std::int32_t token;
    std::uint32_t previous;
    std::uint32_t next;
    Merge merge;  // with the next symbol
  };

  void propose_merge(std::uint32_t position);

  const std::array<std::int32_t, 256>& byte_tokens_;
  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  // rank * 2^32 + position; an entry is stale when the symbol there has another rank by now.
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> candidates_;
};

}  // namespace fvlm
