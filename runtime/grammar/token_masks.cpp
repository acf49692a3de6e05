#include "runtime/grammar/token_masks.hpp"

#include <algorithm>

namespace fvlm {
namespace {

// The most readings that a walk follows over all nodes of the trie: with Qwen2's vocabulary, a
// string takes a fifteenth. A walk that would take more stops early: fewer tokens are allowed, but
// all of one byte are tried.
constexpr std::size_t kMaxReadingSteps = 6'000'000;

void set_bit(std::vector<std::uint32_t>& words, std::int32_t token) {
  const auto t = static_cast<std::uint32_t>(token);
  words[t / 32] |= std::uint32_t{1} << (t % 32);
}

void clear_bit(std::vector<std::uint32_t>& words, std::int32_t token) {
  const auto t = static_cast<std::uint32_t>(token);
  words[t / 32] &= ~(std::uint32_t{1} << (t % 32));
}

}  // namespace

TokenMasks::StateId TokenMasks::advance(StateId state, std::int32_t token) {
  const std::string_view bytes = trie_->bytes(token);
  return bytes.empty() ? kDead : machine_.advance(state, bytes);
}

std::span<const std::uint32_t> TokenMasks::mask(StateId state) {
  auto& cached = masks_[state];
  if (cached) return *cached;
  Words words(trie_->mask_words());
  const auto readings = machine_.readings(state);
  for (const Machine::Reading& reading : std::vector(readings.begin(), readings.end())) {
    if (reading.node != Machine::kEnd) add(reading, words);
  }
  if (machine_.may_end(state)) {
    for (const std::int32_t token : trie_->end_tokens()) set_bit(words, token);
  }
  cached = std::make_unique<Words>(std::move(words));
  return *cached;
}

std::size_t TokenMasks::bytes() const {
  const std::size_t words = trie_->mask_words() * sizeof(std::uint32_t);
  return machine_.states() * 1200 + (masks_.size() + above_.size()) * words;
}

// visit(node, state) for nodes of the trie in [first, last), whose parent is `depth` deep and
// reached in `state`, as far as the grammar goes with them.
template <class Visit>
void TokenMasks::walk(StateId state, std::size_t first, std::size_t last, std::size_t depth,
                      const Visit& visit) {
  const auto nodes = trie_->nodes();
  path_.resize(trie_->longest() + 1);
  path_[depth] = state;
  std::size_t work = 0;
  for (std::size_t n = first; n < last;) {
    const TokenTrie::Node& node = nodes[n];
    const StateId before = path_[node.depth - std::size_t{1}];
    work += machine_.readings(before).size();
    if (work > kMaxReadingSteps && node.depth > depth + 1) {
      n = node.next;
      continue;
    }
    const StateId reached = machine_.advance(before, node.byte);
    if (reached == kDead) {
      n = node.next;
      continue;
    }
    path_[node.depth] = reached;
    visit(n, reached);
    ++n;
  }
}

const TokenMasks::Above& TokenMasks::above(NodeId node) {
  auto& found = above_[node];
  if (found) return *found;
  found = std::make_unique<Above>();
  Above& above = *found;
  above.tokens.resize(trie_->mask_words());
  walk(machine_.state_above_unknown(node), 0, trie_->nodes().size(), 0,
       [&](std::size_t n, StateId reached) {
         if (const std::uint32_t counts = machine_.counts(reached); counts != kUnlimited) {
           for (const std::int32_t token : trie_->tokens_at(n)) {
             set_bit(above.tokens, token);
             if (counts > 0) above.counted.push_back({counts, token});
           }
         }
         if (!machine_.has_left(reached)) return;
         for (const Machine::Reading& reading : machine_.readings(reached)) {
           if (reading.node == Machine::kLeft) {
             above.ends.push_back({static_cast<std::uint32_t>(n), reading.count});
           }
         }
       });
  std::stable_sort(above.counted.begin(), above.counted.end(),
                   [](const Counted& a, const Counted& b) { return a.counts > b.counts; });
  return above;
}

void TokenMasks::add(const Machine::Reading& reading, Words& words) {
  if (machine_.depth(reading.stack) > kMaxStack - Machine::kRoom) {
    add_from(machine_.state_of(reading), 0, trie_->nodes().size(), 0, words);
    return;
  }
  const Above& above = this->above(reading.node);
  const Automaton& automaton = machine_.automaton();
  const Automaton::Rule& rule = automaton.rules[automaton.nodes[reading.node].rule];
  const std::uint32_t left = rule.max == kUnlimited ? kUnlimited : rule.max - reading.count;
  const bool all = above.counted.empty() || above.counted.front().counts <= left;
  if (all) {
    for (std::size_t w = 0; w < words.size(); ++w) words[w] |= above.tokens[w];
  } else {
    Words fitting = above.tokens;
    for (const Counted& counted : above.counted) {
      if (counted.counts <= left) break;
      clear_bit(fitting, counted.token);
    }
    for (std::size_t w = 0; w < words.size(); ++w) words[w] |= fitting[w];
  }
  const StateId after = machine_.state_after(reading.stack);
  for (const End& end : above.ends) {
    if (end.counts > left || reading.count + end.counts < rule.min) continue;
    for (const std::int32_t token : trie_->tokens_at(end.node)) set_bit(words, token);
    const TokenTrie::Node& node = trie_->nodes()[end.node];
    add_from(after, end.node + std::size_t{1}, node.next, node.depth, words);
  }
}

void TokenMasks::add_from(StateId state, std::size_t first, std::size_t last, std::size_t depth,
                          Words& words) {
  walk(state, first, last, depth, [&](std::size_t n, StateId) {
    for (const std::int32_t token : trie_->tokens_at(n)) set_bit(words, token);
  });
}

}  // namespace fvlm
