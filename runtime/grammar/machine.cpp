#include "runtime/grammar/machine.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace fvlm {

Machine::Machine(std::shared_ptr<const Automaton> automaton) : automaton_(std::move(automaton)) {
  frames_.push_back({.node = kEnd, .count = 0, .parent = kBottom, .depth = 0, .counts = 0});
  frames_.push_back(
      {.node = kLeft, .count = 0, .parent = kUnknown, .depth = kMaxStack - kRoom, .counts = 0});
  number({});
  start_ = close({{automaton_->rules[automaton_->start].start, 0, kBottom}});
}

Machine::StateId Machine::advance(StateId state, std::string_view bytes) {
  for (const char byte : bytes) {
    if (state == kDead) break;
    state = advance(state, static_cast<std::uint8_t>(byte));
  }
  return state;
}

Machine::StateId Machine::state_after(StackId stack) {
  if (stack >= after_.size()) after_.resize(frames_.size(), kNotKnown);
  if (after_[stack] == kNotKnown) {
    const Frame& frame = frames_[stack];
    const StateId found = stack == kBottom ? number({{kEnd, 0, kBottom}})
                                           : close({{frame.node, frame.count, frame.parent}});
    after_[stack] = found;
  }
  return after_[stack];
}

Machine::StateId Machine::find_next(StateId state, std::uint8_t byte) {
  std::vector<Reading> next;
  for (const Reading& reading : states_[state].readings) {
    if (reading.node >= automaton_->nodes.size()) continue;  // an end
    for (const auto& edge : automaton_->edges_of(automaton_->nodes[reading.node])) {
      if (byte < edge.first || byte > edge.last) continue;
      Reading after = reading;
      if (edge.counts && !count(after)) continue;
      after.node = edge.target;
      if (has_room(after)) next.push_back(after);
    }
  }
  const StateId found = next.empty() ? kDead : close(std::move(next));
  State& from = states_[state];
  if (!from.next) {
    from.next = std::make_unique<std::array<StateId, 256>>();
    from.next->fill(kNotKnown);
  }
  (*from.next)[byte] = found;
  return found;
}

Machine::StateId Machine::close(std::vector<Reading> pending) {
  std::reverse(pending.begin(), pending.end());  // the first is taken first
  std::unordered_set<Reading, Hash> seen;
  std::vector<Reading> closed;
  while (!pending.empty()) {
    const Reading reading = pending.back();
    pending.pop_back();
    if (!seen.insert(reading).second) continue;
    const Automaton::Node& node = automaton_->nodes[reading.node];
    if (node.first_edge < node.last_edge) closed.push_back(reading);
    if (seen.size() > kMaxReadings) continue;
    if (node.ends) follow_end(reading, pending, closed);
    follow_calls(reading, pending);
  }
  return number(std::move(closed));
}

void Machine::follow_calls(const Reading& reading, std::vector<Reading>& pending) {
  const Automaton& automaton = *automaton_;
  for (const auto& call : automaton.calls_of(automaton.nodes[reading.node])) {
    Reading back = reading;
    if (call.counts && !count(back)) continue;
    back.node = call.target;
    if (!has_room(back)) continue;
    if (call.rule == Automaton::kNoRule) {
      pending.push_back(back);
      continue;
    }
    const Automaton::Rule& called = automaton.rules[call.rule];
    Reading inside{called.start, 0, back.stack};
    const Automaton::Node& target = automaton.nodes[call.target];
    // A rule that ends with the call need not be gone back to.
    const bool is_last = target.ends && !automaton.rules[target.rule].counts() &&
                         target.first_edge == target.last_edge && back.stack != kUnknown;
    if (!is_last) {
      const std::uint32_t depth = frames_[back.stack].depth + 1;
      if (depth + automaton.nodes[called.start].height > kMaxStack) continue;
      inside.stack = push(back);
    }
    if (has_room(inside)) pending.push_back(inside);
  }
}

void Machine::follow_end(const Reading& reading, std::vector<Reading>& pending,
                         std::vector<Reading>& closed) const {
  const auto close_with = [&](const Reading& end) {
    if (std::find(closed.begin(), closed.end(), end) == closed.end()) closed.push_back(end);
  };
  if (reading.stack == kUnknown) {
    close_with({kLeft, reading.count, kUnknown});
    return;
  }
  if (reading.count < automaton_->rules[automaton_->nodes[reading.node].rule].min) return;
  if (reading.stack == kBottom) {
    close_with({kEnd, 0, kBottom});
    return;
  }
  const Frame& frame = frames_[reading.stack];
  pending.push_back({frame.node, frame.count, frame.parent});
}

bool Machine::count(Reading& reading) const {
  const Automaton::Rule& rule = automaton_->rules[automaton_->nodes[reading.node].rule];
  if (reading.stack != kUnknown && reading.count == rule.max) return false;
  const bool matters =
      reading.stack == kUnknown || rule.max < kUnlimited || reading.count < rule.min;
  if (matters) ++reading.count;
  return true;
}

bool Machine::has_room(const Reading& reading) const {
  return frames_[reading.stack].depth + automaton_->nodes[reading.node].height <= kMaxStack;
}

Machine::StackId Machine::push(const Reading& back) {
  const auto [entry, is_new] = stacks_.emplace(back, static_cast<StackId>(frames_.size()));
  if (is_new) {
    const Frame& below = frames_[back.stack];
    frames_.push_back({.node = back.node,
                       .count = back.count,
                       .parent = back.stack,
                       .depth = below.depth + 1,
                       .counts = back.stack == kUnknown ? back.count : below.counts});
  }
  return entry->second;
}

Machine::StateId Machine::number(std::vector<Reading> readings) {
  const auto [entry, is_new] =
      numbers_.emplace(std::move(readings), static_cast<StateId>(states_.size()));
  if (!is_new) return entry->second;
  State state{.readings = entry->first};
  for (const Reading& reading : state.readings) {
    if (reading.node == kEnd) {
      state.may_end = true;
    } else if (reading.node == kLeft) {
      state.has_left = true;
    } else {
      const std::uint32_t counts =
          reading.stack == kUnknown ? reading.count : frames_[reading.stack].counts;
      state.counts = std::min(state.counts, counts);
    }
  }
  states_.push_back(std::move(state));
  return entry->second;
}

std::size_t Machine::Hash::operator()(const std::vector<Reading>& readings) const {
  std::size_t hash = 0xcbf29ce484222325;
  for (const Reading& reading : readings) hash = (hash ^ (*this)(reading)) * 0x100000001b3;
  return hash;
}

std::size_t Machine::Hash::operator()(const Reading& reading) const {
  std::uint64_t hash = reading.node;
  hash = hash * 0x9e3779b97f4a7c15 + reading.count;
  hash = (hash ^ (hash >> 29)) * 0x9e3779b97f4a7c15 + reading.stack;
  return static_cast<std::size_t>(hash ^ (hash >> 32));
}

}  // namespace fvlm
