#include "runtime/grammar/schema_types.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/config/json_file.hpp"

namespace fvlm {
namespace {

using Json = SchemaNode::Json;

constexpr int kMaxLook = 6;  // schemas within one another that are compared

constexpr std::array<std::pair<std::string_view, JsonType>, 7> kNames = {
    {{"null", JsonType::kNull},
     {"boolean", JsonType::kBoolean},
     {"integer", JsonType::kInteger},
     {"number", JsonType::kNumber},
     {"string", JsonType::kString},
     {"array", JsonType::kArray},
     {"object", JsonType::kObject}}};

constexpr std::array<std::pair<std::string_view, JsonType>, 19> kImplied = {
    {{"properties", JsonType::kObject},
     {"required", JsonType::kObject},
     {"additionalProperties", JsonType::kObject},
     {"minProperties", JsonType::kObject},
     {"maxProperties", JsonType::kObject},
     {"items", JsonType::kArray},
     {"prefixItems", JsonType::kArray},
     {"additionalItems", JsonType::kArray},
     {"minItems", JsonType::kArray},
     {"maxItems", JsonType::kArray},
     {"pattern", JsonType::kString},
     {"format", JsonType::kString},
     {"minLength", JsonType::kString},
     {"maxLength", JsonType::kString},
     {"minimum", JsonType::kNumber},
     {"maximum", JsonType::kNumber},
     {"exclusiveMinimum", JsonType::kNumber},
     {"exclusiveMaximum", JsonType::kNumber},
     {"multipleOf", JsonType::kNumber}}};

JsonType type_named(const SchemaNode& schema, const Json& name) {
  for (const auto& [known, type] : kNames) {
    if (name.is_string() && name.get_ref<const std::string&>() == known) return type;
  }
  schema.fail(
      "type {}: expected null, boolean, integer, number, string, array, object or an array of "
      "these",
      in_quotes(name.dump()));
}

void add(std::vector<JsonType>& types, JsonType type) {
  if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(type);
}

bool is_of(const Json& value, JsonType type) {
  switch (type) {
    case JsonType::kNull:
      return value.is_null();
    case JsonType::kBoolean:
      return value.is_boolean();
    case JsonType::kInteger:
      return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
    case JsonType::kNumber:
      return value.is_number();
    case JsonType::kString:
      return value.is_string();
    case JsonType::kArray:
      return value.is_array();
    case JsonType::kObject:
      return value.is_object();
  }
  return false;
}

bool overlap(JsonType a, JsonType b) {
  const auto numeric = [](JsonType t) { return t == JsonType::kInteger || t == JsonType::kNumber; };
  return a == b || (numeric(a) && numeric(b));
}

// Types of a schema's values, without an Error for what is compiled later.
std::vector<JsonType> possible_types(const SchemaNode& schema) {
  std::vector<JsonType> types;
  if (schema.has("const") || schema.has("enum")) {
    for (const Json& value : constants_of(schema)) {
      for (const auto& [name, type] : kNames) {
        if (is_of(value, type)) add(types, type);
      }
    }
  } else if (!schema.is_boolean()) {
    types = types_of(schema);
  }
  return types;
}

SchemaNode resolved(SchemaNode schema) {
  for (int i = 0; i < kMaxLook && !schema.is_boolean() && schema.has("$ref"); ++i) {
    schema = schema.target();
  }
  return schema;
}

bool is_simple(const SchemaNode& schema) {
  return !schema.is_boolean() && schema.json().is_object() && !schema.has("$ref") &&
         !schema.has("anyOf") && !schema.has("oneOf") && !schema.has("allOf");
}

// Whether two schemas have no value in common, as far as it is looked at.
class Comparison {
 public:
  bool disjoint(const SchemaNode& left, const SchemaNode& right, int look = kMaxLook) {
    const SchemaNode a = resolved(left);
    const SchemaNode b = resolved(right);
    if (look == 0 || !is_simple(a) || !is_simple(b) || !may_compare(a, b)) return false;
    if (a.boolean("nullable", false) && b.boolean("nullable", false)) return false;
    if (lists(a) && lists(b)) {
      const auto mine = constants_of(a);
      const auto others = constants_of(b);
      return std::none_of(mine.begin(), mine.end(), [&](const Json& value) {
        return std::find(others.begin(), others.end(), value) != others.end();
      });
    }
    bool shared = false;
    bool only_objects = true;
    const auto types_b = possible_types(b);
    for (const JsonType x : possible_types(a)) {
      for (const JsonType y : types_b) {
        if (!overlap(x, y)) continue;
        shared = true;
        only_objects = only_objects && x == JsonType::kObject;
      }
    }
    return !shared || (only_objects && differ_in_property(a, b, look - 1));
  }

 private:
  static constexpr std::size_t kMost = 4'000'000;  // pairs of values or names

  static bool lists(const SchemaNode& schema) { return schema.has("const") || schema.has("enum"); }

  static std::size_t size_of(const SchemaNode& schema) {
    std::size_t size = 1;
    for (const char* keyword : {"enum", "required"}) {
      if (schema.has(keyword)) size += schema.at(keyword).size();
    }
    return size;
  }

  bool may_compare(const SchemaNode& a, const SchemaNode& b) {
    work_ += size_of(a) * size_of(b);
    return work_ <= kMost;
  }

  // Whether both require a property that has no value in common.
  bool differ_in_property(const SchemaNode& a, const SchemaNode& b, int look) {
    if (!a.has("properties") || !b.has("properties")) return false;
    const std::vector<std::string> required = b.names("required");
    for (const std::string& name : a.names("required")) {
      if (std::find(required.begin(), required.end(), name) == required.end()) continue;
      const bool both =
          a.object("properties").contains(name) && b.object("properties").contains(name);
      if (both && disjoint(a.child("properties", name), b.child("properties", name), look))
        return true;
    }
    return false;
  }

  std::size_t work_ = 0;
};

}  // namespace

std::vector<JsonType> types_of(const SchemaNode& schema) {
  std::vector<JsonType> types;
  if (schema.has("type")) {
    const Json& type = schema.at("type");
    if (!type.is_array()) return {type_named(schema, type)};
    for (const Json& name : type) add(types, type_named(schema, name));
    if (types.empty()) schema.fail("type is empty: it allows no value");
    return types;
  }
  for (const auto& [keyword, type] : kImplied) {
    if (schema.has(keyword)) add(types, type);
  }
  if (!types.empty()) return types;
  for (const auto& [name, type] : kNames) {
    if (type != JsonType::kInteger) types.push_back(type);
  }
  return types;
}

std::vector<Json> constants_of(const SchemaNode& schema) {
  std::vector<Json> values;
  if (schema.has("enum")) {
    const Json& list = schema.array("enum");
    if (list.empty()) schema.fail("enum is empty: it allows no value");
    values.assign(list.begin(), list.end());
  }
  if (schema.has("const")) {
    const Json& only = schema.at("const");
    if (schema.has("enum") && std::find(values.begin(), values.end(), only) == values.end()) {
      schema.fail("const is not in enum");
    }
    values = {only};
  }
  if (schema.has("type")) {
    const auto types = types_of(schema);
    std::erase_if(values, [&](const Json& value) {
      return std::none_of(types.begin(), types.end(), [&](JsonType t) { return is_of(value, t); });
    });
    if (values.empty()) schema.fail("no value of const or enum is of the type");
  }
  return values;
}

void refuse_overlap(const SchemaNode& schema) {
  constexpr std::size_t kMost = 64;
  const std::size_t count = schema.array("oneOf").size();
  if (count > kMost) schema.fail("oneOf with more than {} schemas is not supported", kMost);
  for (std::size_t i = 0; i < count; ++i) schema.child("oneOf", i).check();
  Comparison comparison;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      if (comparison.disjoint(schema.child("oneOf", i), schema.child("oneOf", j))) continue;
      schema.fail(
          "a value may match both {} and {} of oneOf: use anyOf, or give both a required "
          "property with different constants",
          i, j);
    }
  }
}

}  // namespace fvlm
