// Which tokens may come next in a grammar: a bit for each, cached for each state.
//
// Most tokens depend on the top of the stack only. So the trie of tokens is walked once for each
// node of the automaton, above an unknown stack: the tokens that stay within the node's rule, and
// the places in the trie where the rule ends. For a reading only what begins at these places is
// walked on, above the real stack. Where a rule counts, tokens are kept with what they count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/grammar/machine.hpp"
#include "runtime/grammar/token_trie.hpp"

namespace fvlm {

// For one grammar and one vocabulary; used by one thread.
class TokenMasks {
 public:
  using StateId = Machine::StateId;
  static constexpr StateId kDead = Machine::kDead;

  TokenMasks(std::shared_ptr<const Automaton> automaton, std::shared_ptr<const TokenTrie> trie)
      : machine_(std::move(automaton)), trie_(std::move(trie)) {}

  StateId start() const { return machine_.start(); }
  // The state after a token that is not an end token; kDead if the grammar does not allow it.
  StateId advance(StateId state, std::int32_t token);
  // Bit t % 32 of word t / 32 says whether token t may come next: end tokens if the answer may end
  // there, other control tokens never. Valid until clear().
  std::span<const std::uint32_t> mask(StateId state);

  // Of what is cached, about.
  std::size_t bytes() const;
  // Forgets all that is cached: masks and states are no longer valid.
  void clear();
  std::uint64_t clearings() const { return clearings_; }

 private:
  using Words = std::vector<std::uint32_t>;
  struct Counted {
    std::uint32_t counts;
    std::int32_t token;
  };
  struct End {
    std::uint32_t node;  // of the trie
    std::uint32_t counts;
  };
  // The tokens after a node, whatever the stack.
  struct Above {
    std::vector<std::int32_t> few{};  // that stay within its rule, unless they are many:
    Words many{};
    std::vector<Counted> counted{};  // of these, by falling counts, those that count
    std::vector<End> ends{};         // of the rule
    std::size_t work = 0;            // that it took
  };

  const Above& above(NodeId node);
  std::unique_ptr<Above> find_above(NodeId node);
  // Adds the tokens of a reading; returns how much work they are.
  std::size_t add(const Machine::Reading& reading, Words& words);
  std::size_t add_from(StateId state, std::size_t first, std::size_t last, std::size_t depth,
                       Words& words);
  void add_single_bytes(StateId state, Words& words);
  template <class Visit>
  std::size_t walk(StateId state, std::size_t first, std::size_t last, std::size_t depth,
                   const Visit& visit);

  Machine machine_;
  std::shared_ptr<const TokenTrie> trie_;
  std::uint64_t clearings_ = 0;
  std::unordered_map<NodeId, std::unique_ptr<Above>> above_;
  std::size_t above_bytes_ = 0;
  std::unordered_map<StateId, std::unique_ptr<Words>> masks_;
  std::vector<StateId> path_;  // of the walk
};

}  // namespace fvlm
