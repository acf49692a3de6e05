#include "runtime/grammar/token_masks.hpp"

#include <algorithm>

namespace fvlm {
namespace {

// The most readings that are followed for one mask, over all nodes of the trie: with Qwen2's
// vocabulary, a string takes a seventh. Of a grammar that takes more, such as a choice of many
// patterns, not all tokens are found; but all of one byte are, so that nothing is out of reach.
constexpr std::size_t kMaxWork = 3'000'000;
constexpr std::size_t kFew = 1000;  // tokens that are not kept as a mask

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
  if (const auto cached = masks_.find(state); cached != masks_.end()) return *cached->second;
  Words words(trie_->mask_words());
  std::size_t work = 0;
  const std::span<const Machine::Reading> all = machine_.readings(state);
  const std::vector<Machine::Reading> readings(all.begin(), all.end());
  for (const Machine::Reading& reading : readings) {
    if (reading.node == Machine::kEnd) continue;
    work += add(reading, words);
    if (work <= kMaxWork) continue;
    add_single_bytes(state, words);
    break;
  }
  if (machine_.may_end(state)) {
    for (const std::int32_t token : trie_->end_tokens()) set_bit(words, token);
  }
  return *masks_.emplace(state, std::make_unique<Words>(std::move(words))).first->second;
}

std::size_t TokenMasks::bytes() const {
  constexpr std::size_t kState = 1200;  // and what leads to it
  const std::size_t words = trie_->mask_words() * sizeof(std::uint32_t);
  return machine_.states() * kState + masks_.size() * words + above_bytes_;
}

void TokenMasks::clear() {
  machine_ = Machine(machine_.shared_automaton());
  above_.clear();
  above_bytes_ = 0;
  masks_.clear();
  ++clearings_;
}

// visit(node, state) for nodes of the trie in [first, last), whose parent is `depth` deep and
// reached in `state`, as far as the grammar goes with them. Returns the number of readings.
template <class Visit>
std::size_t TokenMasks::walk(StateId state, std::size_t first, std::size_t last, std::size_t depth,
                             const Visit& visit) {
  const auto nodes = trie_->nodes();
  path_.resize(trie_->longest() + 1);
  path_[depth] = state;
  std::size_t work = 0;
  for (std::size_t n = first; n < last;) {
    const TokenTrie::Node& node = nodes[n];
    const StateId before = path_[node.depth - std::size_t{1}];
    work += machine_.readings(before).size();
    const StateId reached =
        work > kMaxWork && node.depth > depth + 1 ? kDead : machine_.advance(before, node.byte);
    if (reached == kDead) {
      n = node.next;
      continue;
    }
    path_[node.depth] = reached;
    visit(n, reached);
    ++n;
  }
  return work;
}

const TokenMasks::Above& TokenMasks::above(NodeId node) {
  auto& known = above_[node];
  if (!known) known = find_above(node);
  return *known;
}

std::unique_ptr<TokenMasks::Above> TokenMasks::find_above(NodeId node) {
  auto above = std::make_unique<Above>();
  std::vector<std::vector<std::int32_t>> by_counts;
  std::size_t tokens = 0;
  const auto found = [&](std::uint32_t counts, std::int32_t token) {
    if (by_counts.size() <= counts) by_counts.resize(counts + std::size_t{1});
    by_counts[counts].push_back(token);
    ++tokens;
  };
  above->work =
      walk(machine_.state_above_unknown(node), 0, trie_->nodes().size(), 0,
           [&](std::size_t n, StateId reached) {
             if (const std::uint32_t counts = machine_.counts(reached); counts != kUnlimited) {
               for (const std::int32_t token : trie_->tokens_at(n)) found(counts, token);
             }
             if (!machine_.has_left(reached)) return;
             for (const Machine::Reading& reading : machine_.readings(reached)) {
               if (reading.node != Machine::kLeft) continue;
               above->ends.push_back({static_cast<std::uint32_t>(n), reading.count});
             }
           });
  if (tokens > kFew) above->many.resize(trie_->mask_words());
  for (std::size_t counts = by_counts.size(); counts-- > 0;) {
    for (const std::int32_t token : by_counts[counts]) {
      if (counts > 0) above->counted.push_back({static_cast<std::uint32_t>(counts), token});
      if (tokens > kFew) {
        set_bit(above->many, token);
      } else if (counts == 0) {
        above->few.push_back(token);
      }
    }
  }
  above_bytes_ += above->many.size() * sizeof(std::uint32_t) +
                  above->few.size() * sizeof(std::int32_t) +
                  above->counted.size() * sizeof(Counted) + above->ends.size() * sizeof(End);
  return above;
}

std::size_t TokenMasks::add(const Machine::Reading& reading, Words& words) {
  if (machine_.depth(reading.stack) > kMaxStack - Machine::kRoom) {
    return add_from(machine_.state_of(reading), 0, trie_->nodes().size(), 0, words);
  }
  const Above& above = this->above(reading.node);
  const Automaton& automaton = machine_.automaton();
  const Automaton::Rule& rule = automaton.rules[automaton.nodes[reading.node].rule];
  const std::uint32_t left = rule.max == kUnlimited ? kUnlimited : rule.max - reading.count;
  const auto fitting = std::find_if(above.counted.begin(), above.counted.end(),
                                    [&](const Counted& c) { return c.counts <= left; });
  if (above.many.empty()) {
    for (const std::int32_t token : above.few) set_bit(words, token);
    for (auto c = fitting; c != above.counted.end(); ++c) set_bit(words, c->token);
  } else if (fitting == above.counted.begin()) {
    for (std::size_t w = 0; w < words.size(); ++w) words[w] |= above.many[w];
  } else {
    Words tokens = above.many;
    for (auto c = above.counted.begin(); c != fitting; ++c) clear_bit(tokens, c->token);
    for (std::size_t w = 0; w < words.size(); ++w) words[w] |= tokens[w];
  }
  std::size_t work = above.work;
  const StateId after = machine_.state_after(reading.stack);
  for (const End& end : above.ends) {
    if (end.counts > left || reading.count + end.counts < rule.min) continue;
    for (const std::int32_t token : trie_->tokens_at(end.node)) set_bit(words, token);
    const TokenTrie::Node& node = trie_->nodes()[end.node];
    work += add_from(after, end.node + std::size_t{1}, node.next, node.depth, words);
  }
  return work;
}

std::size_t TokenMasks::add_from(StateId state, std::size_t first, std::size_t last,
                                 std::size_t depth, Words& words) {
  return walk(state, first, last, depth, [&](std::size_t n, StateId) {
    for (const std::int32_t token : trie_->tokens_at(n)) set_bit(words, token);
  });
}

void TokenMasks::add_single_bytes(StateId state, Words& words) {
  const auto nodes = trie_->nodes();
  for (std::size_t n = 0; n < nodes.size(); n = nodes[n].next) {
    if (machine_.advance(state, nodes[n].byte) == kDead) continue;
    for (const std::int32_t token : trie_->tokens_at(n)) set_bit(words, token);
  }
}

}  // namespace fvlm
