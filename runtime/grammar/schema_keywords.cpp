#include "runtime/grammar/schema_keywords.hpp"

#include <algorithm>
#include <array>

namespace fvlm {
namespace {

using namespace std::string_view_literals;

constexpr std::array kIgnored = {
    "$comment"sv,    "$defs"sv,        "$id"sv,         "$schema"sv,       "default"sv,
    "definitions"sv, "deprecated"sv,   "description"sv, "discriminator"sv, "example"sv,
    "examples"sv,    "externalDocs"sv, "id"sv,          "readOnly"sv,      "title"sv,
    "writeOnly"sv,   "xml"sv};

constexpr std::array kApplied = {"$ref"sv,
                                 "additionalItems"sv,
                                 "additionalProperties"sv,
                                 "allOf"sv,
                                 "anyOf"sv,
                                 "const"sv,
                                 "enum"sv,
                                 "exclusiveMaximum"sv,
                                 "exclusiveMinimum"sv,
                                 "format"sv,
                                 "items"sv,
                                 "maxItems"sv,
                                 "maxLength"sv,
                                 "maxProperties"sv,
                                 "maximum"sv,
                                 "minItems"sv,
                                 "minLength"sv,
                                 "minProperties"sv,
                                 "minimum"sv,
                                 "multipleOf"sv,
                                 "nullable"sv,
                                 "oneOf"sv,
                                 "pattern"sv,
                                 "prefixItems"sv,
                                 "properties"sv,
                                 "required"sv,
                                 "type"sv,
                                 "uniqueItems"sv};

}  // namespace

KeywordUse use_of(std::string_view keyword) {
  const auto in = [&](const auto& list) {
    return std::find(list.begin(), list.end(), keyword) != list.end();
  };
  if (in(kIgnored) || keyword.starts_with("x-")) return KeywordUse::kIgnored;
  return in(kApplied) ? KeywordUse::kApplied : KeywordUse::kUnsupported;
}

}  // namespace fvlm
