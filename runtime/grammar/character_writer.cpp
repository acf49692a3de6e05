#include "runtime/grammar/character_writer.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace fvlm {
namespace {

const CharacterSet& escaped_in_json() {
  static const CharacterSet set{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return set;
}

constexpr std::array<std::pair<char32_t, char>, 7> kShortEscapes = {
    {{'"', '"'}, {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}}};

}  // namespace

void CharacterWriter::add(NodeId from, const CharacterSet& set, NodeId to, bool counts) {
  if (encoding_ == Encoding::kPlain) {
    add_plain(from, set, to, counts);
  } else {
    add_plain(from, set & ~escaped_in_json(), to, counts);
    add_escapes(from, set & escaped_in_json(), to, counts);
  }
}

void CharacterWriter::add(NodeId from, const CharacterDfa& dfa, NodeId to) {
  std::vector<NodeId> nodes;
  for (std::size_t n = 0; n < dfa.nodes.size(); ++n) {
    nodes.push_back(builder_.add_node(builder_.rule_of(from)));
  }
  builder_.add_empty(from, nodes[0]);
  for (std::size_t n = 0; n < dfa.nodes.size(); ++n) {
    for (const auto& edge : dfa.nodes[n].edges) add(nodes[n], edge.set, nodes[edge.target]);
    if (dfa.nodes[n].accepts) builder_.add_empty(nodes[n], to);
  }
}

void CharacterWriter::add_plain(NodeId from, const CharacterSet& set, NodeId to, bool counts) {
  for (const ByteSequence& sequence : utf8_sequences(set)) {
    NodeId next = to;
    for (auto i = static_cast<std::size_t>(sequence.length); i-- > 1;) {
      next = before(next, sequence.bytes[i]);
    }
    builder_.add_bytes(from, sequence.bytes[0].first, sequence.bytes[0].last, next, counts);
  }
}

void CharacterWriter::add_escapes(NodeId from, const CharacterSet& set, NodeId to, bool counts) {
  if (set.empty()) return;
  const NodeId escape = builder_.add_node(builder_.rule_of(from));
  builder_.add_bytes(from, '\\', '\\', escape, counts);
  CharacterSet rest = set;
  for (const auto& [character, letter] : kShortEscapes) {
    if (!set.contains(character)) continue;
    builder_.add_text(escape, std::string(1, letter), to);
    rest = rest & ~CharacterSet::of(character);
  }
  for (const CharacterRange& range : rest.ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      constexpr char kHex[] = "0123456789abcdef";
      builder_.add_text(escape, std::string("u00") + kHex[c >> 4] + kHex[c & 15], to);
    }
  }
}

NodeId CharacterWriter::before(NodeId to, ByteSequence::Range bytes) {
  const auto [entry, is_new] = before_.try_emplace({to, bytes.first, bytes.last});
  if (is_new) {
    entry->second = builder_.add_node(builder_.rule_of(to));
    builder_.add_bytes(entry->second, bytes.first, bytes.last, to);
  }
  return entry->second;
}

}  // namespace fvlm
