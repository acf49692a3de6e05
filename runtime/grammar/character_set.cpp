#include "runtime/grammar/character_set.hpp"

#include <algorithm>
#include <cstddef>

namespace fvlm {
namespace {

constexpr char32_t kLast = 0x10FFFF;
constexpr CharacterRange kSurrogates{0xD800, 0xDFFF};

// Appends a range that begins at or after the last one's beginning.
void append(std::vector<CharacterRange>& ranges, CharacterRange range) {
  if (!ranges.empty() && range.first <= ranges.back().last + 1) {
    ranges.back().last = std::max(ranges.back().last, range.last);
  } else {
    ranges.push_back(range);
  }
}

ByteSequence::Range byte_range(char32_t first, char32_t last) {
  return {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(last)};
}

// Splits a range until the bytes of its first and last character bound those of all between.
void split(CharacterRange range, std::vector<ByteSequence>& sequences) {
  for (const char32_t longest : {U'\x7F', U'\x7FF', U'\xFFFF'}) {
    if (range.first <= longest && range.last > longest) {
      split({range.first, longest}, sequences);
      split({longest + 1, range.last}, sequences);
      return;
    }
  }
  if (range.last <= 0x7F) {
    sequences.push_back({1, {byte_range(range.first, range.last)}});
    return;
  }
  const int length = range.last <= 0x7FF ? 2 : range.last <= 0xFFFF ? 3 : 4;
  for (int i = 1; i < length; ++i) {
    const char32_t low = (char32_t{1} << (6 * i)) - 1;  // the bits of the last i bytes
    if ((range.first & ~low) == (range.last & ~low)) continue;
    if ((range.first & low) != 0) {
      split({range.first, range.first | low}, sequences);
      split({(range.first | low) + 1, range.last}, sequences);
      return;
    }
    if ((range.last & low) != low) {
      split({range.first, (range.last & ~low) - 1}, sequences);
      split({range.last & ~low, range.last}, sequences);
      return;
    }
  }
  ByteSequence sequence{length, {}};
  const char32_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int i = 0; i < length; ++i) {
    const int shift = 6 * (length - 1 - i);
    const auto byte = [&](char32_t c) {
      return i == 0 ? marks[length] | (c >> shift) : 0x80 | ((c >> shift) & 0x3F);
    };
    sequence.bytes[static_cast<std::size_t>(i)] = byte_range(byte(range.first), byte(range.last));
  }
  sequences.push_back(sequence);
}

}  // namespace

CharacterSet::CharacterSet(std::vector<CharacterRange> ranges) {
  std::erase_if(ranges, [](const CharacterRange& r) { return r.first > r.last; });
  std::sort(ranges.begin(), ranges.end());
  std::vector<CharacterRange> merged;
  for (const CharacterRange& range : ranges)
    append(merged, {range.first, std::min(range.last, kLast)});
  for (const CharacterRange& range : merged) {
    const CharacterRange below{range.first, std::min<char32_t>(range.last, kSurrogates.first - 1)};
    const CharacterRange above{std::max<char32_t>(range.first, kSurrogates.last + 1), range.last};
    if (below.first <= below.last) ranges_.push_back(below);
    if (above.first <= above.last) ranges_.push_back(above);
  }
}

CharacterSet CharacterSet::all() {
  return {{0, kLast}};
}

bool CharacterSet::contains(char32_t character) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const CharacterRange& r) {
    return r.first <= character && character <= r.last;
  });
}

CharacterSet CharacterSet::operator|(const CharacterSet& other) const {
  std::vector<CharacterRange> both = ranges_;
  both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
  return CharacterSet(std::move(both));
}

CharacterSet CharacterSet::operator&(const CharacterSet& other) const {
  std::vector<CharacterRange> common;
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    common.push_back({std::max(a->first, b->first), std::min(a->last, b->last)});
    if (a->last < b->last) {
      ++a;
    } else {
      ++b;
    }
  }
  return CharacterSet(std::move(common));
}

CharacterSet CharacterSet::operator~() const {
  std::vector<CharacterRange> rest;
  char32_t next = 0;
  for (const CharacterRange& range : ranges_) {
    if (range.first > next) rest.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLast) rest.push_back({next, kLast});
  return CharacterSet(std::move(rest));
}

std::vector<ByteSequence> utf8_sequences(const CharacterSet& set) {
  std::vector<ByteSequence> sequences;
  for (const CharacterRange& range : set.ranges()) split(range, sequences);
  return sequences;
}

}  // namespace fvlm
