// Writes characters and automata over characters as bytes into a grammar: in UTF-8, or as the
// inside of a JSON string, where quotes, backslashes and control characters are escaped. There an
// escape is used only where JSON demands one: of those the short one, if it has one.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "runtime/grammar/automaton.hpp"
#include "runtime/grammar/character_dfa.hpp"

namespace fvlm {

class CharacterWriter {
 public:
  enum class Encoding : std::uint8_t { kPlain, kJson };

  CharacterWriter(AutomatonBuilder& builder, Encoding encoding)
      : builder_(builder), encoding_(encoding) {}

  // One character of the set between two nodes. If it counts, its first byte does.
  void add(NodeId from, const CharacterSet& set, NodeId to, bool counts = false);
  // All that the automaton accepts.
  void add(NodeId from, const CharacterDfa& dfa, NodeId to);

 private:
  void add_plain(NodeId from, const CharacterSet& set, NodeId to, bool counts);
  void add_escapes(NodeId from, const CharacterSet& set, NodeId to, bool counts);
  NodeId before(NodeId to, ByteSequence::Range bytes);

  AutomatonBuilder& builder_;
  Encoding encoding_;
  // Nodes with one edge, which characters share whose last bytes are alike.
  std::map<std::tuple<NodeId, std::uint8_t, std::uint8_t>, NodeId> before_;
};

}  // namespace fvlm
