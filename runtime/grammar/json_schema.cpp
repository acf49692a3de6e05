#include "runtime/grammar/json_schema.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/grammar/json_writer.hpp"
#include "runtime/grammar/schema_node.hpp"
#include "runtime/grammar/schema_types.hpp"
#include "runtime/grammar/schema_values.hpp"

namespace fvlm {
namespace {

using Json = SchemaNode::Json;

constexpr std::size_t kMaxSchemaBytes = 1 << 20;  // bytes
constexpr std::size_t kMaxKeys = 1000;            // of an object
constexpr int kMaxValueDepth = 300;               // of objects and arrays
constexpr std::size_t kMaxAlternatives = 500;     // of anyOf, and optional properties of an object
constexpr int kMaxSchemas = 100;                  // of schemas

class SchemaCompiler {
 public:
  SchemaCompiler(AutomatonBuilder& builder, JsonWriter& writer)
      : builder_(builder), writer_(writer) {}

  RuleId compile(const SchemaNode& schema) {
    if (++depth_ > kMaxSchemas) schema.fail("more than {} schemas within one another", kMaxSchemas);
    const RuleId rule = compile_one(schema);
    --depth_;
    return rule;
  }

 private:
  RuleId compile_one(const SchemaNode& schema) {
    schema.check();
    if (schema.is_boolean()) {
      if (!schema.json().get<bool>()) schema.fail("false allows no value");
      return writer_.value();
    }
    if (schema.has("$ref")) return reference(schema);
    if (schema.has("allOf")) {
      schema.allow_only({"allOf"}, "beside allOf");
      if (schema.array("allOf").size() != 1)
        schema.fail("allOf with more than one schema is not supported");
      return compile(schema.child("allOf", std::size_t{0}));
    }
    std::vector<RuleId> rules;
    if (schema.boolean("nullable", false)) rules.push_back(writer_.null());
    if (schema.has("anyOf")) {
      add_alternatives(schema, "anyOf", rules);
    } else if (schema.has("oneOf")) {
      refuse_overlap(schema);
      add_alternatives(schema, "oneOf", rules);
    } else if (schema.has("const") || schema.has("enum")) {
      add_constants(schema, rules);
    } else {
      for (const JsonType type : types_of(schema)) rules.push_back(of_type(schema, type));
    }
    return writer_.one_of(rules);
  }

  // A rule is made before what it refers to is compiled, so schemas may refer to themselves.
  RuleId reference(const SchemaNode& schema) {
    schema.allow_only({"$ref"}, "beside $ref");
    const SchemaNode target = schema.target();
    if (const auto known = references_.find(target.pointer()); known != references_.end()) {
      return known->second;
    }
    const RuleId rule = builder_.add_rule();
    references_.emplace(target.pointer(), rule);
    builder_.add_call(builder_.start(rule), compile(target), builder_.end(rule));
    return rule;
  }

  void add_alternatives(const SchemaNode& schema, std::string_view keyword,
                        std::vector<RuleId>& rules) {
    schema.allow_only({keyword, "nullable"}, fmt::format("beside {}", keyword));
    const std::size_t count = schema.array(keyword).size();
    if (count == 0) schema.fail("{} is empty: it allows no value", keyword);
    if (count > kMaxAlternatives) {
      schema.fail("{} has {} schemas, more than {}", keyword, count, kMaxAlternatives);
    }
    for (std::size_t i = 0; i < count; ++i) rules.push_back(compile(schema.child(keyword, i)));
  }

  void add_constants(const SchemaNode& schema, std::vector<RuleId>& rules) {
    schema.allow_only({"const", "enum", "type", "nullable"}, "beside const or enum");
    rules.push_back(writer_.constants(constants_of(schema)));
  }

  RuleId of_type(const SchemaNode& schema, JsonType type) {
    switch (type) {
      case JsonType::kNull:
        return writer_.null();
      case JsonType::kBoolean:
        return writer_.boolean();
      case JsonType::kInteger:
        return number(schema, NumberKind::kInteger);
      case JsonType::kNumber:
        return number(schema, NumberKind::kNumber);
      case JsonType::kString:
        return string(schema);
      case JsonType::kArray:
        return array(schema);
      case JsonType::kObject:
        return object(schema);
    }
    return writer_.value();
  }

  // Strings and numbers of the same kind share their rule, and so the tokens found for it.
  RuleId number(const SchemaNode& schema, NumberKind kind) {
    const auto digits = digits_of(schema, kind);
    if (!digits) return writer_.number();
    return alike(digits->name, [&] { return writer_.digits(digits->automaton()); });
  }

  RuleId string(const SchemaNode& schema) {
    const StringLimits limits = string_limits(schema);
    const auto content = content_of(schema, limits);
    if (!content) return writer_.string(limits.min, limits.max);
    return alike(content->name, [&] { return writer_.string(content->automaton()); });
  }

  template <class Make>
  RuleId alike(const std::string& name, const Make& make) {
    if (const auto known = alike_.find(name); known != alike_.end()) return known->second;
    const RuleId rule = make();
    alike_.emplace(name, rule);
    return rule;
  }

  RuleId array(const SchemaNode& schema) {
    JsonWriter::Array array;
    array.min = schema.count("minItems").value_or(0);
    array.max = schema.count("maxItems").value_or(kUnlimited);
    if (array.min > array.max) schema.fail("minItems is above maxItems");
    if (schema.boolean("uniqueItems", false)) schema.fail("uniqueItems is not supported");
    const bool draft_7 = schema.has("items") && schema.at("items").is_array();
    const char* first = draft_7 ? "items" : "prefixItems";
    const char* rest = draft_7 ? "additionalItems" : "items";
    if (schema.has(first)) {
      for (std::size_t i = 0; i < schema.array(first).size() && i < array.max; ++i) {
        array.first.push_back(compile(schema.child(first, i)));
      }
    }
    const bool has_more = array.max > array.first.size();
    if (has_more && schema.has(rest)) {
      array.rest = compile_unless_false(schema.child(rest));
    } else if (has_more && (!schema.has(first) || array.min > array.first.size())) {
      array.rest = writer_.value();
    }
    if (!array.rest && array.min > array.first.size()) {
      schema.fail("minItems is {}, but there can be only {} items", array.min, array.first.size());
    }
    return writer_.array(array);
  }

  std::optional<RuleId> compile_unless_false(const SchemaNode& schema) {
    if (schema.json() == Json(false)) return std::nullopt;
    return compile(schema);
  }

  RuleId object(const SchemaNode& schema) {
    JsonWriter::Object object;
    std::vector<std::string> required = schema.names("required");
    const auto is_required = [&](const std::string& name) {
      return std::find(required.begin(), required.end(), name) != required.end();
    };
    if (schema.has("properties")) {
      for (const auto& [name, unused] : schema.object("properties").items()) {
        const SchemaNode property = schema.child("properties", name);
        if (const auto value = compile_unless_false(property)) {
          object.properties.push_back({name, *value, is_required(name)});
        } else if (is_required(name)) {
          property.fail("the property is required, but false allows no value");
        } else {
          object.forbidden.push_back(name);
        }
      }
    }
    std::optional<RuleId> others;
    const bool says_others = schema.has("additionalProperties");
    if (says_others) others = compile_unless_false(schema.child("additionalProperties"));
    for (const std::string& name : std::set(required.begin(), required.end())) {
      if (schema.has("properties") && schema.at("properties").contains(name)) continue;
      if (says_others && !others) {
        schema.fail("{} is required, but neither in properties nor an additional property",
                    in_quotes(name));
      }
      object.properties.push_back({name, others ? *others : writer_.value(), true});
    }
    const bool open = !says_others && !schema.has("properties") && required.empty();
    object.others = open ? writer_.value() : others;
    limit_properties(schema, object);
    return writer_.object(object);
  }

  void limit_properties(const SchemaNode& schema, JsonWriter::Object& object) {
    const std::uint32_t min = schema.count("minProperties").value_or(0);
    const std::uint32_t max = schema.count("maxProperties").value_or(kUnlimited);
    const auto named = static_cast<std::uint32_t>(object.properties.size());
    const auto required = static_cast<std::uint32_t>(
        std::count_if(object.properties.begin(), object.properties.end(),
                      [](const auto& property) { return property.required; }));
    if (named - required > kMaxAlternatives) {
      schema.fail("{} optional properties, more than {}", named - required, kMaxAlternatives);
    }
    if (min > max) schema.fail("minProperties is above maxProperties");
    if (max < required) schema.fail("maxProperties is below the number of required properties");
    if (named == required && max == required) object.others.reset();
    if (!object.others && min > named) {
      schema.fail("minProperties is {}, but there can be only {} properties", min, named);
    }
    if (object.others && named == 0) {
      // A name may come twice, which makes one property of two.
      if (min > 1) schema.fail("minProperties above 1 is not supported for additional properties");
      object.may_be_empty = min == 0;
      object.max_others = max;
      return;
    }
    if (min > required) schema.fail("minProperties beside optional properties is not supported");
    if (object.others ? max < kUnlimited : max < named) {
      schema.fail("maxProperties beside optional properties is not supported");
    }
  }

  AutomatonBuilder& builder_;
  JsonWriter& writer_;
  std::map<std::string, RuleId> references_;  // by JSON pointer
  std::map<std::string, RuleId> alike_;       // strings and numbers
  int depth_ = 0;
};

// Depths and keys are bounded: what reads a value again takes its stack, and an object compares
// each key with the others.
Json parse(std::string_view schema) {
  std::vector<std::size_t> keys;  // of the objects that are open
  try {
    return Json::parse(schema, [&](int depth, Json::parse_event_t event, const Json&) {
      if (depth > kMaxValueDepth) {
        throw make_error("the JSON schema is nested more than {} levels deep", kMaxValueDepth);
      }
      keys.resize(static_cast<std::size_t>(depth) + 1);
      if (event == Json::parse_event_t::object_start) keys.push_back(0);
      if (event == Json::parse_event_t::key && ++keys.back() > kMaxKeys) {
        throw make_error("the JSON schema has an object of more than {} keys", kMaxKeys);
      }
      return true;
    });
  } catch (const Json::parse_error& error) {
    throw make_error("the JSON schema is not valid JSON (near byte {})", error.byte);
  } catch (const Json::exception&) {
    throw make_error("the JSON schema is not valid JSON");
  }
}

}  // namespace

RuleId add_json_schema(AutomatonBuilder& builder, JsonWriter& writer, std::string_view schema) {
  if (schema.size() > kMaxSchemaBytes) {
    throw make_error("the JSON schema has {} bytes, more than {}", schema.size(), kMaxSchemaBytes);
  }
  const Json document = parse(schema);
  return SchemaCompiler(builder, writer).compile(SchemaNode(document));
}

}  // namespace fvlm
