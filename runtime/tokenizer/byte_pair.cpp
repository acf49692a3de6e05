// See byte_pair.hpp.
#include "runtime/tokenizer/byte_pair.hpp"

#include <bit>

namespace fvlm {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

std::uint64_t join(std::uint32_t high, std::uint32_t low) {
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return join(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right));
}

}  // namespace

MergeTable::MergeTable(std::size_t capacity) : slots_(std::bit_ceil(2 * capacity + 2)) {
  hash_shift_ = 64 - std::countr_zero(slots_.size());
}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  // Multiplying by 2^64 over the golden ratio spreads consecutive ids over the upper bits.
  std::size_t slot = (pair * 0x9E3779B97F4A7C15U) >> hash_shift_;
  while (slots_[slot].merge && slots_[slot].pair != pair) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

bool MergeTable::insert(std::int32_t left, std::int32_t right, Merge merge) {
  const std::uint64_t pair = pair_of(left, right);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.merge) return false;
  slot = {pair, merge};
  return true;
}

Merge MergeTable::find(std::int32_t left, std::int32_t right) const {
  return slots_[slot_of(pair_of(left, right))].merge;
}

void BytePairEncoder::encode(std::string_view word, std::vector<std::int32_t>& ids) {
  if (word.empty()) return;
  const auto size = static_cast<std::uint32_t>(word.size());
  symbols_.clear();
  for (std::uint32_t i = 0; i < size; ++i) {
    const std::int32_t token = byte_tokens_[static_cast<unsigned char>(word[i])];
    symbols_.push_back({token, i == 0 ? kNone : i - 1, i + 1 == size ? kNone : i + 1, Merge{}});
  }
  for (std::uint32_t i = 0; i < size; ++i) propose_merge(i);

  while (!candidates_.empty()) {
    const std::uint64_t candidate = candidates_.top();
    candidates_.pop();
    const auto position = static_cast<std::uint32_t>(candidate);
    Symbol& left = symbols_[position];
    if (left.merge.rank != candidate >> 32) continue;
    Symbol& right = symbols_[left.next];
    left.token = left.merge.result;
    left.next = right.next;
    right.merge = Merge{};
    if (left.next != kNone) symbols_[left.next].previous = position;
    propose_merge(position);
    if (left.previous != kNone) propose_merge(left.previous);
  }
  for (std::uint32_t i = 0; i != kNone; i = symbols_[i].next) ids.push_back(symbols_[i].token);
}

// Looks up how the symbol at `position` merges with the next, and queues that.
void BytePairEncoder::propose_merge(std::uint32_t position) {
  Symbol& left = symbols_[position];
  left.merge = left.next == kNone ? Merge{} : merges_.find(left.token, symbols_[left.next].token);
  if (left.merge) candidates_.push(join(left.merge.rank, position));
}

}  // namespace fvlm
