// Sets of Unicode characters (scalar values: code points but surrogates), and the bytes of UTF-8
// that a set has: what character classes and JSON strings are made of.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace fvlm {

struct CharacterRange {
  char32_t first;
  char32_t last;  // included

  friend bool operator==(const CharacterRange&, const CharacterRange&) = default;
  friend auto operator<=>(const CharacterRange&, const CharacterRange&) = default;
};

class CharacterSet {
 public:
  CharacterSet() = default;
  CharacterSet(std::initializer_list<CharacterRange> ranges) : CharacterSet(std::vector(ranges)) {}
  explicit CharacterSet(std::vector<CharacterRange> ranges);
  static CharacterSet all();
  static CharacterSet of(char32_t character) { return {{character, character}}; }

  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t character) const;
  // In ascending order, neither overlapping nor adjacent.
  const std::vector<CharacterRange>& ranges() const { return ranges_; }

  CharacterSet operator|(const CharacterSet& other) const;
  CharacterSet operator&(const CharacterSet& other) const;
  CharacterSet operator~() const;

  friend bool operator==(const CharacterSet&, const CharacterSet&) = default;
  friend auto operator<=>(const CharacterSet&, const CharacterSet&) = default;

 private:
  std::vector<CharacterRange> ranges_;
};

// Characters whose encodings have each byte in one range, whatever the others are.
struct ByteSequence {
  struct Range {
    std::uint8_t first;
    std::uint8_t last;
  };
  int length;
  std::array<Range, 4> bytes;
};

// The encodings of a set's characters in UTF-8: each matches one of the sequences.
std::vector<ByteSequence> utf8_sequences(const CharacterSet& set);

}  // namespace fvlm
