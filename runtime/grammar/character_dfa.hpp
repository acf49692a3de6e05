// Finite automata over characters: what regular expressions, number ranges and formats are until
// their characters are written as bytes. Counts of states and of work are bounded, so that no
// expression takes long: beyond the bounds an Error says that it is too complex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/grammar/character_set.hpp"

namespace fvlm {

inline constexpr std::size_t kMaxNfaStates = 20'000;
inline constexpr std::size_t kMaxDfaStates = 5'000;

// Nondeterministic, with moves that take no character; from `start` to `end`.
class CharacterNfa {
 public:
  using State = std::uint32_t;
  struct Edge {
    CharacterSet set;
    State target;
  };
  struct Node {
    std::vector<Edge> edges;
    std::vector<State> empty;
  };

  State add_state();
  void add_edge(State from, CharacterSet set, State to);
  void add_empty(State from, State to) { nodes_[from].empty.push_back(to); }
  // A state from which everything is accepted, the end's only predecessor.
  State everything();

  const std::vector<Node>& nodes() const { return nodes_; }
  std::optional<State> everything_state() const { return everything_; }
  static constexpr State kStart = 0;
  static constexpr State kEnd = 1;

 private:
  std::vector<Node> nodes_{2};
  std::optional<State> everything_;
};

// Deterministic; state 0 is the start, and every other one lies on a way to an accepting state.
struct CharacterDfa {
  using State = std::uint32_t;
  struct Edge {
    CharacterSet set;  // disjoint from the other edges'
    State target;
  };
  struct Node {
    std::vector<Edge> edges{};
    bool accepts = false;
  };
  std::vector<Node> nodes;

  // Whether it accepts nothing.
  bool empty() const { return nodes.size() == 1 && !nodes[0].accepts; }
  // `text`: valid UTF-8.
  bool matches(std::string_view text) const;
};

CharacterDfa determinise(const CharacterNfa& nfa);
// What both accept.
CharacterDfa intersect(const CharacterDfa& a, const CharacterDfa& b);
// What has from min to max characters (none: any number).
CharacterDfa with_length(const CharacterDfa& dfa, std::size_t min, std::optional<std::size_t> max);

}  // namespace fvlm
