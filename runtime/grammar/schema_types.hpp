// Which types of JSON a schema's values have, and whether two schemas can share a value.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/grammar/schema_node.hpp"

namespace fvlm {

enum class JsonType : std::uint8_t { kNull, kBoolean, kInteger, kNumber, kString, kArray, kObject };

// The types that "type" lists, or that the other keywords say; all if they say none.
std::vector<JsonType> types_of(const SchemaNode& schema);

// The values that "const" or "enum" lists and "type" allows.
std::vector<SchemaNode::Json> constants_of(const SchemaNode& schema);

// Refuses "oneOf" unless it is certain that no value is valid for two of its schemas.
void refuse_overlap(const SchemaNode& schema);

}  // namespace fvlm
