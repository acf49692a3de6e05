#include "runtime/grammar/automaton.hpp"

#include <algorithm>
#include <utility>

#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

constexpr std::uint32_t kUnreachable = kUnlimited;

}  // namespace

RuleId AutomatonBuilder::add_rule(std::uint32_t min, std::uint32_t max) {
  const auto rule = static_cast<RuleId>(rules_.size());
  const NodeId start = add_node(rule);
  rules_.push_back({.start = start, .min = min, .max = max});
  ends_.push_back(add_node(rule));
  return rule;
}

NodeId AutomatonBuilder::add_node(RuleId rule) {
  if (nodes_.size() == kMaxNodes) {
    throw make_error("the grammar is too large: it needs more than {} states", kMaxNodes);
  }
  nodes_.push_back({.rule = rule});
  return static_cast<NodeId>(nodes_.size() - 1);
}

void AutomatonBuilder::count_edge() {
  if (++edges_ > kMaxEdges) {
    throw make_error("the grammar is too large: it needs more than {} transitions", kMaxEdges);
  }
}

void AutomatonBuilder::add_bytes(NodeId from, std::uint8_t first, std::uint8_t last, NodeId to,
                                 bool counts) {
  count_edge();
  nodes_[from].edges.push_back({.first = first, .last = last, .counts = counts, .target = to});
}

void AutomatonBuilder::add_text(NodeId from, std::string_view text, NodeId to, bool counts) {
  if (text.empty()) {
    add_empty(from, to);
    return;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const NodeId next = i + 1 == text.size() ? to : add_node(rule_of(from));
    const auto byte = static_cast<std::uint8_t>(text[i]);
    add_bytes(from, byte, byte, next, counts && i == 0);
    from = next;
  }
}

void AutomatonBuilder::add_texts(NodeId from, std::vector<std::string> texts, NodeId to) {
  std::sort(texts.begin(), texts.end());
  std::vector<NodeId> path = {from};  // of the last text
  std::string_view last;
  for (const std::string& text : texts) {
    const auto differ = std::mismatch(last.begin(), last.end(), text.begin(), text.end());
    path.resize(static_cast<std::size_t>(differ.second - text.begin()) + 1);
    for (std::size_t i = path.size() - 1; i < text.size(); ++i) {
      const NodeId next = add_node(rule_of(from));
      const auto byte = static_cast<std::uint8_t>(text[i]);
      add_bytes(path.back(), byte, byte, next);
      path.push_back(next);
    }
    add_empty(path.back(), to);
    last = text;
  }
}

void AutomatonBuilder::add_empty(NodeId from, NodeId to) {
  add_call(from, Automaton::kNoRule, to);
}

void AutomatonBuilder::add_call(NodeId from, RuleId rule, NodeId to, bool counts) {
  count_edge();
  nodes_[from].calls.push_back({.rule = rule, .counts = counts, .target = to});
}

RuleId AutomatonBuilder::add_automaton(const Automaton& automaton) {
  std::vector<RuleId> rules;
  std::vector<NodeId> nodes(automaton.nodes.size());
  for (const Automaton::Rule& rule : automaton.rules) {
    rules.push_back(add_rule(rule.min, rule.max));
    nodes[rule.start] = start(rules.back());
  }
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const RuleId rule = automaton.nodes[n].rule;
    if (n != automaton.rules[rule].start) nodes[n] = add_node(rules[rule]);
  }
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const Automaton::Node& node = automaton.nodes[n];
    for (const auto& [first, last, counts, target] : automaton.edges_of(node)) {
      add_bytes(nodes[n], first, last, nodes[target], counts);
    }
    for (const auto& [rule, counts, target] : automaton.calls_of(node)) {
      const bool empty = rule == Automaton::kNoRule;
      add_call(nodes[n], empty ? rule : rules[rule], nodes[target], counts);
    }
    if (node.ends) add_empty(nodes[n], end(rules[node.rule]));
  }
  return rules[automaton.start];
}

AutomatonBuilder::Backwards AutomatonBuilder::backwards() const {
  Backwards all;
  all.nodes.resize(nodes_.size());
  all.callers.resize(rules_.size());
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    const auto from = static_cast<NodeId>(n);
    for (const auto& edge : nodes_[n].edges) {
      all.nodes[edge.target].push_back({.from = from, .byte = true});
    }
    for (const auto& call : nodes_[n].calls) {
      all.nodes[call.target].push_back({.from = from, .rule = call.rule});
      if (call.rule != Automaton::kNoRule) all.callers[call.rule].push_back(from);
    }
  }
  return all;
}

// Level by level, backwards from the rules' ends. A call can be taken at a level once the start of
// the called rule has a lower height.
std::vector<std::uint32_t> AutomatonBuilder::heights(const Backwards& backwards) const {
  std::vector<std::uint32_t> heights(nodes_.size(), kUnreachable);
  std::vector<NodeId> pending = ends_;
  for (const NodeId end : ends_) heights[end] = 0;
  for (std::uint32_t level = 0; level <= kMaxStack && !pending.empty(); ++level) {
    std::vector<RuleId> startable;  // from the next level on
    while (!pending.empty()) {
      const NodeId node = pending.back();
      pending.pop_back();
      if (start(nodes_[node].rule) == node) startable.push_back(nodes_[node].rule);
      for (const Back& back : backwards.nodes[node]) {
        const bool open =
            back.byte || back.rule == Automaton::kNoRule || heights[start(back.rule)] < level;
        if (!open || heights[back.from] != kUnreachable) continue;
        heights[back.from] = level;
        pending.push_back(back.from);
      }
    }
    for (const RuleId rule : startable) {
      for (const NodeId caller : backwards.callers[rule]) {
        const auto& calls = nodes_[caller].calls;
        const bool reaches = std::any_of(calls.begin(), calls.end(), [&](const auto& call) {
          return call.rule == rule && heights[call.target] != kUnreachable;
        });
        if (!reaches || heights[caller] != kUnreachable) continue;
        heights[caller] = level + 1;
        pending.push_back(caller);
      }
    }
  }
  return heights;
}

std::vector<bool> AutomatonBuilder::nullable(const Backwards& backwards) const {
  std::vector<bool> nullable(rules_.size(), false);
  std::vector<bool> empty(nodes_.size(), false);  // reaches the rule's end without a byte
  std::vector<NodeId> pending = ends_;
  for (const NodeId end : ends_) empty[end] = true;
  const auto reach = [&](NodeId node) {
    if (empty[node]) return;
    empty[node] = true;
    pending.push_back(node);
  };
  while (!pending.empty()) {
    const NodeId node = pending.back();
    pending.pop_back();
    for (const Back& back : backwards.nodes[node]) {
      if (!back.byte && (back.rule == Automaton::kNoRule || nullable[back.rule])) reach(back.from);
    }
    const RuleId rule = nodes_[node].rule;
    if (start(rule) != node) continue;
    nullable[rule] = true;
    for (const NodeId caller : backwards.callers[rule]) {
      for (const auto& call : nodes_[caller].calls) {
        if (call.rule == rule && empty[call.target]) reach(caller);
      }
    }
  }
  return nullable;
}

void AutomatonBuilder::refuse_left_recursion(const Backwards& backwards) const {
  const std::vector<bool> nullable = this->nullable(backwards);
  std::vector<std::vector<RuleId>> first(rules_.size());  // rules called before the first byte
  std::vector<std::size_t> seen(nodes_.size(), rules_.size());  // from which rule last
  for (std::size_t r = 0; r < rules_.size(); ++r) {
    std::vector<NodeId> pending = {rules_[r].start};
    while (!pending.empty()) {
      const NodeId node = pending.back();
      pending.pop_back();
      if (std::exchange(seen[node], r) == r) continue;
      for (const auto& call : nodes_[node].calls) {
        if (call.rule != Automaton::kNoRule) first[r].push_back(call.rule);
        if (call.rule == Automaton::kNoRule || nullable[call.rule]) pending.push_back(call.target);
      }
    }
  }
  // Rules whose first calls have all been taken away are taken away; a cycle is left.
  std::vector<std::size_t> open(rules_.size());
  std::vector<std::vector<RuleId>> callers(rules_.size());
  std::vector<RuleId> pending;
  for (std::size_t r = 0; r < rules_.size(); ++r) {
    open[r] = first[r].size();
    for (const RuleId called : first[r]) callers[called].push_back(static_cast<RuleId>(r));
    if (open[r] == 0) pending.push_back(static_cast<RuleId>(r));
  }
  std::size_t taken = 0;
  for (; !pending.empty(); ++taken) {
    const RuleId rule = pending.back();
    pending.pop_back();
    for (const RuleId caller : callers[rule]) {
      if (--open[caller] == 0) pending.push_back(caller);
    }
  }
  if (taken < rules_.size()) {
    throw Error("the grammar refers to itself with nothing in between, which has no end");
  }
}

std::shared_ptr<const Automaton> AutomatonBuilder::finish(RuleId start,
                                                          const std::string& what) && {
  const Backwards backwards = this->backwards();
  refuse_left_recursion(backwards);
  const std::vector<std::uint32_t> heights = this->heights(backwards);
  if (heights[this->start(start)] == kUnreachable) {
    throw make_error("{}: no answer of at most {} levels satisfies it", what, kMaxStack);
  }
  auto automaton = std::make_shared<Automaton>();
  automaton->start = start;
  automaton->rules = rules_;
  automaton->nodes.reserve(nodes_.size());
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    const Node& node = nodes_[n];
    Automaton::Node& made = automaton->nodes.emplace_back();
    made.rule = node.rule;
    made.height = heights[n];
    made.ends = ends_[node.rule] == n;
    made.first_edge = static_cast<std::uint32_t>(automaton->edges.size());
    made.first_call = static_cast<std::uint32_t>(automaton->calls.size());
    for (const auto& edge : node.edges) {
      if (heights[edge.target] != kUnreachable) automaton->edges.push_back(edge);
    }
    for (const auto& call : node.calls) {
      const bool ends = call.rule == Automaton::kNoRule ||
                        heights[automaton->rules[call.rule].start] != kUnreachable;
      if (ends && heights[call.target] != kUnreachable) automaton->calls.push_back(call);
    }
    made.last_edge = static_cast<std::uint32_t>(automaton->edges.size());
    made.last_call = static_cast<std::uint32_t>(automaton->calls.size());
  }
  return automaton;
}

}  // namespace fvlm
