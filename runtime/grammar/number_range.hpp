// Numbers in decimal notation within bounds, exactly: as automata over their digits.
//
// Integers have at most 18 digits, so that every one fits 64 bits. Numbers have at most 15
// significant digits and no exponent, so that two of them differ as doubles, too: a validator that
// reads doubles finds the same order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/grammar/character_dfa.hpp"

namespace fvlm {

struct NumberBound {
  // `decimal`: like -12.5, without exponent.
  NumberBound(std::string_view decimal, bool inclusive);

  bool negative = false;  // and not zero
  std::string integer;    // digits without leading zeros, "0" if there are none
  std::string fraction;   // digits without zeros at the end
  bool inclusive = true;

  bool is_zero() const { return integer == "0" && fraction.empty(); }
};

struct NumberRange {
  std::optional<NumberBound> low{};
  std::optional<NumberBound> high{};
};

enum class NumberKind : std::uint8_t { kInteger, kNumber };

CharacterDfa number_range(const NumberRange& range, NumberKind kind);

// Integers that `divisor`, at least 1, divides.
CharacterDfa multiples_of(std::uint32_t divisor);

}  // namespace fvlm
