// Regular expressions (regex_syntax.hpp) as automata over characters.
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/grammar/character_dfa.hpp"

namespace fvlm {

enum class RegexMatch : std::uint8_t {
  kWhole,   // the whole text matches, as for an answer
  kSearch,  // some part of it does, as for "pattern" in JSON Schema
};

// Throws Error if the expression is wrong, not supported or too complex.
CharacterDfa compile_regex(std::string_view expression, RegexMatch match);

}  // namespace fvlm
