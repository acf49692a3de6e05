// Strings and numbers of a JSON Schema, as automata over their characters.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "runtime/grammar/automaton.hpp"
#include "runtime/grammar/character_dfa.hpp"
#include "runtime/grammar/number_range.hpp"
#include "runtime/grammar/schema_node.hpp"

namespace fvlm {

// What makes it, and a name that only alike ones share.
struct ValueText {
  std::string name;
  std::function<CharacterDfa()> automaton;  // may throw Error
};

struct StringLimits {
  std::uint32_t min = 0;  // characters
  std::uint32_t max = kUnlimited;
};
StringLimits string_limits(const SchemaNode& schema);

// The content of strings with a pattern or a format; nothing without either.
std::optional<ValueText> content_of(const SchemaNode& schema, const StringLimits& limits);

// Integers, or numbers with bounds; nothing for numbers without.
std::optional<ValueText> digits_of(const SchemaNode& schema, NumberKind kind);

}  // namespace fvlm
