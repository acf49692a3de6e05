// Runs an automaton over bytes. What has been read may be read in several ways: a state is the set
// of them, each a node with a stack of calls. States are numbered as they are first reached and
// remember where each byte leads, so the automaton becomes deterministic as far as it is used.
// Equal stacks are one, whatever way led to them. The order of readings follows from what was read
// alone, so that where a limit leaves some out, these are always the same.
//
// A state may also begin above an unknown stack: it says what holds for every stack below, up to
// the place where the node's rule ends (TokenMasks finds tokens once a node so, not once a stack).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/grammar/automaton.hpp"

namespace fvlm {

class Machine {
 public:
  using StateId = std::uint32_t;
  using StackId = std::uint32_t;
  static constexpr StateId kDead = 0;  // nothing that begins so is in the grammar

  static constexpr StackId kBottom = 0;
  static constexpr StackId kUnknown = 1;
  static constexpr NodeId kEnd = kUnlimited;       // the whole answer may end here
  static constexpr NodeId kLeft = kUnlimited - 1;  // the rule above the unknown stack has ended
  // An unknown stack is taken to leave room for so many calls.
  static constexpr std::uint32_t kRoom = 32;

  // One way to read what was read. `count` is that of the node's rule (automaton.hpp), as far as it
  // makes a difference.
  struct Reading {
    NodeId node;
    std::uint32_t count;
    StackId stack;
    friend bool operator==(const Reading&, const Reading&) = default;
  };

  explicit Machine(std::shared_ptr<const Automaton> automaton);

  StateId start() const { return start_; }
  // The state after one more byte; kDead if there is none.
  StateId advance(StateId state, std::uint8_t byte) {
    const StateId next = states_[state].next ? (*states_[state].next)[byte] : kNotKnown;
    return next != kNotKnown ? next : find_next(state, byte);
  }
  StateId advance(StateId state, std::string_view bytes);
  bool may_end(StateId state) const { return states_[state].may_end; }
  std::span<const Reading> readings(StateId state) const { return states_[state].readings; }

  // The state of one reading of another state; above an unknown stack, with no counts so far.
  StateId state_of(const Reading& reading) { return number({reading}); }
  StateId state_above_unknown(NodeId node) { return number({{node, 0, kUnknown}}); }
  // Where it goes on after the rule on top of a stack has ended.
  StateId state_after(StackId stack);
  std::uint32_t depth(StackId stack) const { return frames_[stack].depth; }

  // Of a state above an unknown stack: the fewest counts that a reading has taken in the rule that
  // it began in, of those that have not left it; kUnlimited if all have.
  std::uint32_t counts(StateId state) const { return states_[state].counts; }
  // Whether some reading has left it.
  bool has_left(StateId state) const { return states_[state].has_left; }

  const Automaton& automaton() const { return *automaton_; }
  const std::shared_ptr<const Automaton>& shared_automaton() const { return automaton_; }
  std::size_t states() const { return states_.size(); }

 private:
  static constexpr StateId kNotKnown = kUnlimited;
  // Of more ways to read something the rest is left out: each can be ended, so an answer always
  // can.
  static constexpr std::size_t kMaxReadings = 2000;

  struct Frame {
    NodeId node;  // where it goes on
    std::uint32_t count;
    StackId parent;
    std::uint32_t depth;   // frames, this one included
    std::uint32_t counts;  // of the lowest one
  };
  struct State {
    std::vector<Reading> readings;
    std::unique_ptr<std::array<StateId, 256>> next{};
    bool may_end = false;
    bool has_left = false;
    std::uint32_t counts = kUnlimited;
  };
  struct Hash {
    std::size_t operator()(const std::vector<Reading>& readings) const;
    std::size_t operator()(const Reading& reading) const;
  };

  StateId find_next(StateId state, std::uint8_t byte);
  // The state of readings and all that follows from them without a byte.
  StateId close(std::vector<Reading> readings);
  void follow_calls(const Reading& reading, std::vector<Reading>& pending);
  void follow_end(const Reading& reading, std::vector<Reading>& pending,
                  std::vector<Reading>& closed) const;
  // Counts once more, if it may be.
  bool count(Reading& reading) const;
  bool has_room(const Reading& reading) const;
  StackId push(const Reading& back);
  StateId number(std::vector<Reading> readings);

  std::shared_ptr<const Automaton> automaton_;
  std::vector<Frame> frames_;
  std::unordered_map<Reading, StackId, Hash> stacks_;  // by where they go on
  std::vector<State> states_;
  std::unordered_map<std::vector<Reading>, StateId, Hash> numbers_;
  std::vector<StateId> after_;  // of stacks, as far as known
  StateId start_ = kDead;
};

}  // namespace fvlm
