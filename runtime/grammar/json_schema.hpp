// JSON Schema as a grammar: every text of the grammar is a valid value of the schema. Not every
// valid value is a text of it:
//   an object's properties come in the order of "properties", and then others;
//   without "additionalProperties", an object whose properties are named has no others, and an
//   array whose first items are named ("prefixItems") no more: what such schemas nearly always
//   mean; without "type", the other keywords say the type ("properties": an object); names of
//   additional properties have no escapes, numbers with bounds no exponent; the white space is that
//   of json_writer.hpp, nesting is limited (automaton.hpp).
// What is not supported is refused by name, as is a schema that contradicts itself.
#pragma once

#include <string_view>

#include "runtime/grammar/automaton.hpp"
#include "runtime/grammar/json_writer.hpp"

namespace fvlm {

// A rule for the values of a schema, which is a JSON text. Throws Error, whose message has the
// place in the schema as a JSON pointer.
RuleId add_json_schema(AutomatonBuilder& builder, JsonWriter& writer, std::string_view schema);

}  // namespace fvlm
