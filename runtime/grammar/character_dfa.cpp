#include "runtime/grammar/character_dfa.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {
namespace {

constexpr std::size_t kMaxSteps = 20'000'000;  // edges looked at: a fraction of a second

void spend(std::size_t& work, std::size_t more) {
  if ((work += more) > kMaxSteps) throw Error("too complex: it takes too long to compile");
}

// Numbers the states of a DFA in the order in which they are found.
template <class Key>
class Numbering {
 public:
  CharacterDfa::State number(const Key& key) {
    const auto [entry, is_new] =
        numbers_.emplace(key, static_cast<CharacterDfa::State>(keys_.size()));
    if (!is_new) return entry->second;
    if (keys_.size() == kMaxDfaStates) {
      throw make_error("too complex: it needs more than {} states", kMaxDfaStates);
    }
    keys_.push_back(&entry->first);
    return entry->second;
  }
  std::size_t size() const { return keys_.size(); }
  const Key& key(std::size_t number) const { return *keys_[number]; }

 private:
  std::map<Key, CharacterDfa::State> numbers_;
  std::vector<const Key*> keys_;
};

// Without states from which nothing is accepted; edges to one target become one.
CharacterDfa trimmed(const CharacterDfa& dfa) {
  const std::size_t count = dfa.nodes.size();
  std::vector<std::vector<CharacterDfa::State>> backwards(count);
  std::vector<CharacterDfa::State> pending;
  std::vector<bool> alive(count, false);
  for (std::size_t n = 0; n < count; ++n) {
    const auto state = static_cast<CharacterDfa::State>(n);
    for (const auto& edge : dfa.nodes[n].edges) backwards[edge.target].push_back(state);
    if (!dfa.nodes[n].accepts) continue;
    alive[n] = true;
    pending.push_back(state);
  }
  while (!pending.empty()) {
    const auto state = pending.back();
    pending.pop_back();
    for (const auto before : backwards[state]) {
      if (alive[before]) continue;
      alive[before] = true;
      pending.push_back(before);
    }
  }
  alive[0] = true;
  std::vector<CharacterDfa::State> renamed(count);
  CharacterDfa::State next = 0;
  for (std::size_t n = 0; n < count; ++n) {
    if (alive[n]) renamed[n] = next++;
  }
  CharacterDfa result;
  for (std::size_t n = 0; n < count; ++n) {
    if (!alive[n]) continue;
    std::map<CharacterDfa::State, std::vector<CharacterRange>> by_target;
    for (const auto& edge : dfa.nodes[n].edges) {
      if (!alive[edge.target]) continue;
      auto& ranges = by_target[renamed[edge.target]];
      ranges.insert(ranges.end(), edge.set.ranges().begin(), edge.set.ranges().end());
    }
    auto& node = result.nodes.emplace_back();
    node.accepts = dfa.nodes[n].accepts;
    for (auto& [target, ranges] : by_target) {
      node.edges.push_back({CharacterSet(std::move(ranges)), target});
    }
  }
  return result;
}

// The sets on the edges of an NFA cut characters into classes: those of one class are in the same
// of these sets.
class Classes {
 public:
  explicit Classes(const CharacterNfa& nfa) {
    std::set<char32_t> starts = {0};
    for (const auto& node : nfa.nodes()) {
      for (const auto& edge : node.edges) {
        if (!classes_.emplace(edge.set, std::vector<std::size_t>{}).second) continue;
        for (const CharacterRange& range : edge.set.ranges()) {
          starts.insert(range.first);
          starts.insert(range.last + 1);
        }
      }
    }
    const std::vector<char32_t> first(starts.begin(), starts.end());
    std::vector<std::vector<std::size_t>> sets(first.size());  // that hold each interval
    std::size_t number = 0;
    std::size_t work = 0;
    for (const auto& [set, unused] : classes_) {
      for (const CharacterRange& range : set.ranges()) {
        auto interval = std::lower_bound(first.begin(), first.end(), range.first);
        for (; interval != first.end() && *interval <= range.last; ++interval) {
          sets[static_cast<std::size_t>(interval - first.begin())].push_back(number);
          spend(work, 1);
        }
      }
      ++number;
    }
    std::map<std::vector<std::size_t>, std::size_t> numbers;
    std::vector<std::vector<CharacterRange>> ranges;
    std::vector<std::vector<std::size_t>> of_sets(classes_.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
      if (sets[i].empty()) continue;
      const auto [entry, is_new] = numbers.emplace(sets[i], ranges.size());
      if (is_new) {
        ranges.emplace_back();
        for (const std::size_t set : sets[i]) of_sets[set].push_back(entry->second);
      }
      ranges[entry->second].push_back(
          {first[i], i + 1 < first.size() ? first[i + 1] - 1 : first[i]});
    }
    for (auto& r : ranges) characters_.emplace_back(std::move(r));
    number = 0;
    for (auto& [set, classes] : classes_) classes = std::move(of_sets[number++]);
  }

  const std::vector<std::size_t>& of(const CharacterSet& set) const { return classes_.at(set); }
  const CharacterSet& characters(std::size_t number) const { return characters_[number]; }

 private:
  std::map<CharacterSet, std::vector<std::size_t>> classes_;
  std::vector<CharacterSet> characters_;
};

using States = std::vector<CharacterNfa::State>;  // in ascending order

// Adds what is reached without a character. A set that accepts everything is nothing else.
States closure(const CharacterNfa& nfa, States states, std::size_t& work) {
  std::set<CharacterNfa::State> seen(states.begin(), states.end());
  while (!states.empty()) {
    const auto state = states.back();
    states.pop_back();
    spend(work, 1 + nfa.nodes()[state].empty.size());
    for (const auto next : nfa.nodes()[state].empty) {
      if (seen.insert(next).second) states.push_back(next);
    }
  }
  const auto everything = nfa.everything_state();
  if (everything && seen.contains(*everything)) return {CharacterNfa::kEnd, *everything};
  return {seen.begin(), seen.end()};
}

}  // namespace

CharacterNfa::State CharacterNfa::add_state() {
  if (nodes_.size() == kMaxNfaStates) {
    throw make_error("too complex: it needs more than {} states", kMaxNfaStates);
  }
  nodes_.emplace_back();
  return static_cast<State>(nodes_.size() - 1);
}

void CharacterNfa::add_edge(State from, CharacterSet set, State to) {
  if (!set.empty()) nodes_[from].edges.push_back({std::move(set), to});
}

CharacterNfa::State CharacterNfa::everything() {
  if (!everything_) {
    everything_ = add_state();
    add_edge(*everything_, CharacterSet::all(), *everything_);
    add_empty(*everything_, kEnd);
  }
  return *everything_;
}

bool CharacterDfa::matches(std::string_view text) const {
  State state = 0;
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    text.remove_prefix(character.length);
    const auto& edges = nodes[state].edges;
    const auto edge = std::find_if(edges.begin(), edges.end(), [&](const Edge& e) {
      return e.set.contains(character.code_point);
    });
    if (edge == edges.end()) return false;
    state = edge->target;
  }
  return nodes[state].accepts;
}

CharacterDfa determinise(const CharacterNfa& nfa) {
  const Classes classes(nfa);
  std::size_t work = 0;
  Numbering<States> numbering;
  numbering.number(closure(nfa, {CharacterNfa::kStart}, work));
  CharacterDfa dfa;
  for (std::size_t n = 0; n < numbering.size(); ++n) {
    const States states = numbering.key(n);
    auto& node = dfa.nodes.emplace_back();
    node.accepts = std::binary_search(states.begin(), states.end(), CharacterNfa::kEnd);
    std::map<std::size_t, States> by_class;
    for (const auto state : states) {
      for (const auto& edge : nfa.nodes()[state].edges) {
        for (const std::size_t c : classes.of(edge.set)) by_class[c].push_back(edge.target);
        spend(work, classes.of(edge.set).size());
      }
    }
    for (auto& [c, targets] : by_class) {
      std::sort(targets.begin(), targets.end());
      targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
      const auto target = numbering.number(closure(nfa, std::move(targets), work));
      dfa.nodes[n].edges.push_back({classes.characters(c), target});
    }
  }
  return trimmed(dfa);
}

CharacterDfa intersect(const CharacterDfa& a, const CharacterDfa& b) {
  std::size_t work = 0;
  Numbering<std::pair<CharacterDfa::State, CharacterDfa::State>> numbering;
  numbering.number({0, 0});
  CharacterDfa dfa;
  for (std::size_t n = 0; n < numbering.size(); ++n) {
    const auto& left = a.nodes[numbering.key(n).first];
    const auto& right = b.nodes[numbering.key(n).second];
    CharacterDfa::Node node{.accepts = left.accepts && right.accepts};
    for (const auto& x : left.edges) {
      for (const auto& y : right.edges) {
        spend(work, x.set.ranges().size() + y.set.ranges().size());
        CharacterSet common = x.set & y.set;
        if (common.empty()) continue;
        node.edges.push_back({std::move(common), numbering.number({x.target, y.target})});
      }
    }
    dfa.nodes.push_back(std::move(node));
  }
  return trimmed(dfa);
}

CharacterDfa with_length(const CharacterDfa& dfa, std::size_t min, std::optional<std::size_t> max) {
  Numbering<std::pair<CharacterDfa::State, std::size_t>> numbering;
  numbering.number({0, 0});
  CharacterDfa result;
  for (std::size_t n = 0; n < numbering.size(); ++n) {
    const auto [state, length] = numbering.key(n);
    CharacterDfa::Node node{.accepts = dfa.nodes[state].accepts && length >= min};
    const std::size_t longer = max ? length + 1 : std::min(length + 1, min);
    for (const auto& edge : dfa.nodes[state].edges) {
      if (max && longer > *max) break;
      node.edges.push_back({edge.set, numbering.number({edge.target, longer})});
    }
    result.nodes.push_back(std::move(node));
  }
  return trimmed(result);
}

}  // namespace fvlm
