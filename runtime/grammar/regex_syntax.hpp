// The syntax of regular expressions: what ECMA-262 and Python agree on and an automaton can do.
//   characters   a . [a-z] [^a-z] \d \D \w \W \s \S \t \n \r \f \v \0 \xHH \uHHHH \u{H...} \.
//   operators    ab a|b (a) (?:a) (?<name>a) (?P<name>a) a* a+ a? a{2} a{2,} a{2,5}, also with a
//                ? after them, which changes what is found but not what matches
//   anchors      ^ and $, at the beginning and end of the expression or of an alternative of it
// \d, \w are ASCII, \s is ECMA-262's white space, a dot is any character but line ends.
// Look-around, backreferences, \b, \p{...}, atomic groups and flags are refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/grammar/character_set.hpp"

namespace fvlm {

struct RegexSyntax {
  enum class Kind : std::uint8_t { kSet, kSequence, kChoice, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kSequence;
  std::size_t position = 0;             // in the expression, in bytes
  CharacterSet set{};                   // of kSet
  std::vector<RegexSyntax> children{};  // of kSequence and kChoice; one of kRepeat
  std::size_t min = 0;                  // of kRepeat
  std::optional<std::size_t> max{};     // absent: any number
};

// Throws Error with the place and what is wrong there.
RegexSyntax parse_regex(std::string_view expression);

}  // namespace fvlm
