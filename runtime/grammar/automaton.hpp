// A grammar as a pushdown automaton over bytes. It consists of rules: finite automata whose edges
// are ranges of bytes or calls of other rules. A call pushes where it goes on, the rule's end pops.
// A rule may count: edges marked so (a string's characters, an array's items) are taken at most
// `max` times, and the rule cannot end before `min`, so {"maxLength": 100000} takes no more nodes
// than {"maxLength": 10}.
//
// Every node of a finished automaton lies on a way to the end that pushes at most its height; the
// machine takes no edge to one that would have to push beyond kMaxStack. So whatever has been
// written, the answer can still be ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm {

using NodeId = std::uint32_t;
using RuleId = std::uint32_t;

inline constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::uint32_t kMaxStack = 96;           // calls that have not ended
inline constexpr std::size_t kMaxNodes = 200'000;        // of an automaton
inline constexpr std::size_t kMaxEdges = 3 * kMaxNodes;  // calls among them

struct Automaton {
  struct Edge {
    std::uint8_t first;  // bytes
    std::uint8_t last;   // included
    bool counts;
    NodeId target;
  };
  // A call, after which `target` follows.
  struct Call {
    RuleId rule;  // kNoRule: to target without a byte
    bool counts;
    NodeId target;
  };
  static constexpr RuleId kNoRule = std::numeric_limits<RuleId>::max();

  struct Node {
    RuleId rule;
    std::uint32_t height;  // calls that must be open at a time to reach the rule's end
    bool ends;             // the rule may end here
    std::uint32_t first_edge, last_edge;  // [first, last)
    std::uint32_t first_call, last_call;
  };
  struct Rule {
    NodeId start;
    std::uint32_t min;
    std::uint32_t max;
    bool counts() const { return min > 0 || max < kUnlimited; }
  };

  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<Call> calls;
  std::vector<Rule> rules;
  RuleId start = 0;

  std::span<const Edge> edges_of(const Node& node) const {
    return std::span(edges).subspan(node.first_edge, node.last_edge - node.first_edge);
  }
  std::span<const Call> calls_of(const Node& node) const {
    return std::span(calls).subspan(node.first_call, node.last_call - node.first_call);
  }
};

// Puts an automaton together. Every function throws Error when it becomes larger than the limits.
class AutomatonBuilder {
 public:
  // A rule with a start and an end; the end has no edges.
  RuleId add_rule(std::uint32_t min = 0, std::uint32_t max = kUnlimited);
  NodeId start(RuleId rule) const { return rules_[rule].start; }
  NodeId end(RuleId rule) const { return ends_[rule]; }
  NodeId add_node(RuleId rule);

  // One of the bytes, between nodes of one rule.
  void add_bytes(NodeId from, std::uint8_t first, std::uint8_t last, NodeId to,
                 bool counts = false);
  // The bytes of `text`, one after the other.
  void add_text(NodeId from, std::string_view text, NodeId to, bool counts = false);
  // Any of `texts`, which are sorted here so that common beginnings share nodes.
  void add_texts(NodeId from, std::vector<std::string> texts, NodeId to);
  void add_empty(NodeId from, NodeId to);
  void add_call(NodeId from, RuleId rule, NodeId to, bool counts = false);

  // All of a finished automaton; the rule that it begins with.
  RuleId add_automaton(const Automaton& automaton);

  RuleId rule_of(NodeId node) const { return nodes_[node].rule; }

  // The automaton that begins with `start`, without edges that lead nowhere. Throws Error if it
  // matches nothing (`what` begins the message), or a rule calls itself before its first byte.
  std::shared_ptr<const Automaton> finish(RuleId start, const std::string& what) &&;

 private:
  struct Node {
    RuleId rule;
    std::vector<Automaton::Edge> edges{};
    std::vector<Automaton::Call> calls{};
  };

  struct Back {  // an edge, from its target's side
    NodeId from;
    bool byte = false;
    RuleId rule = Automaton::kNoRule;
  };
  struct Backwards {
    std::vector<std::vector<Back>> nodes;
    std::vector<std::vector<NodeId>> callers;  // of each rule
  };

  void count_edge();
  Backwards backwards() const;
  // Calls that must be open at a time on the way to the rule's end; kUnlimited if there is no way.
  std::vector<std::uint32_t> heights(const Backwards& backwards) const;
  // The rules that can end without a byte.
  std::vector<bool> nullable(const Backwards& backwards) const;
  void refuse_left_recursion(const Backwards& backwards) const;

  std::vector<Node> nodes_;
  std::vector<Automaton::Rule> rules_;
  std::vector<NodeId> ends_;
  std::size_t edges_ = 0;
};

}  // namespace fvlm
