// JSON Schema: which texts are in the grammar, what is refused by name, and that no schema costs
// much.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "fvlm/error.hpp"
#include "fvlm/grammar.hpp"
#include "tests/runtime/grammar/vocabulary.hpp"
#include "tests/support/cost.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

struct SchemaCase {
  std::string schema;
  std::vector<std::string> yes;
  std::vector<std::string> no;
};

void check(const std::vector<SchemaCase>& cases) {
  for (const SchemaCase& c : cases) {
    const Grammar grammar = Grammar::json_schema(c.schema);
    for (const std::string& text : c.yes)
      EXPECT_TRUE(grammar.matches(text)) << c.schema << " " << text;
    for (const std::string& text : c.no)
      EXPECT_FALSE(grammar.matches(text)) << c.schema << " " << text;
  }
}

TEST(JsonObject, IsAnyObject) {
  const Grammar grammar = Grammar::json_object();
  for (const char* text :
       {"{}", "{ }", R"({"a":1})", R"({"a": [1, 2.5, -3e-10], "b": {"c": null}})",
        "{\n    \"a\": true,\n    \"b\": []\n}", R"({"\u0041\ud83d\ude00\n": "é"})"}) {
    EXPECT_TRUE(grammar.matches(text)) << text;
  }
  for (const char* text : {"",
                           "[]",
                           "1",
                           "{",
                           "{}}",
                           " {}",
                           "{} ",
                           "{  }",
                           "{\"a\" : 1}",
                           "{\"a\":  1}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "{\"a\":01}",
                           "{\"a\":+1}",
                           "{\"a\":1.}",
                           "{\"a\":1e999}",
                           "{\"a\":NaN}",
                           "{\"a\":\"\t\"}",
                           R"({"a":"\x"})",
                           R"({"a":"\ud83d"})",
                           R"({"a":"\ude00"})",
                           R"({"a":"\ud83d\u0041"})",
                           R"({"a":"\ud83d\ud83d"})",
                           "{\"\xff\":1}",
                           "{\n\n}",
                           "{\"a\":\n1}"}) {
    EXPECT_FALSE(grammar.matches(text)) << text;
  }
}

TEST(JsonSchema, Scalars) {
  check({{R"({"type": "string"})",
          {R"("")", R"("a\"b\\\/\u00e9")", "\"漢\""},
          {"\"", "a", "\"\n\"", "1"}},
         {R"({"type": "string", "minLength": 2, "maxLength": 3})",
          {R"("ab")", R"("漢字é")", R"("\n\u0041")", R"("\ud83d\ude00a")"},
          {R"("a")", R"("abcd")", R"("\ud83d\ude00")"}},
         {R"({"type": "integer"})",
          {"0", "-1", "123456789012345678"},
          {"1.0", "1e3", "01", "-0", "1234567890123456789"}},
         {R"({"type": "number"})",
          {"0", "-0", "1.5", "1e10", "-2.5E-3"},
          {".5", "1.", "1e100", "+1"}},
         {R"({"type": "boolean"})", {"true", "false"}, {"True", "1", "null"}},
         {R"({"type": ["integer", "null"]})", {"1", "null"}, {"true", "\"1\""}},
         {R"({"type": "string", "nullable": true})", {"null", "\"a\""}, {"1"}},
         {R"({"enum": ["a", 1, null, [1, "b"], {"c": 2.5}]})",
          {"\"a\"", "1", "null", "[1, \"b\"]", "{\"c\":2.5}"},
          {"\"b\"", "2", "[1]", "{}"}},
         {R"({"const": "x\ny"})", {R"("x\ny")"}, {"\"x\ny\"", R"("x\u000ay")"}},
         {R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"}},
         {R"({"minimum": 1, "maximum": 2})", {"1", "1.5", "2"}, {"0.9", "2.1", "\"1\""}},
         {R"({"type": "integer", "minimum": 3, "exclusiveMinimum": true})", {"4"}, {"3"}},
         {R"({"type": "integer", "multipleOf": 3, "maximum": 10, "minimum": -4})",
          {"-3", "0", "9"},
          {"-6", "4", "12"}}});
}

TEST(JsonSchema, PatternsAndFormats) {
  check(
      {{R"({"type": "string", "pattern": "b"})", {R"("b")", R"("abc")", R"("\n\"b")"}, {R"("ac")"}},
       {R"({"type": "string", "pattern": "^\"\\\\$"})", {R"("\"\\")"}, {R"(""\")", R"("a")"}},
       {R"({"type": "string", "pattern": "^a+$", "minLength": 2, "maxLength": 3})",
        {R"("aa")", R"("aaa")"},
        {R"("a")", R"("aaaa")"}},
       {R"({"type": "string", "format": "date"})",
        {R"("2024-02-29")", R"("1999-12-31")"},
        {R"("2023-02-29")", R"("2024-04-31")", R"("1900-02-29")"}},
       {R"({"type": "string", "format": "date-time"})",
        {R"("2024-01-01T00:00:00Z")", R"("2024-01-01T23:59:59.5+01:30")"},
        {R"("2024-01-01T24:00:00Z")", R"("2024-01-01T00:00:00")"}},
       {R"({"type": "string", "format": "ipv4"})",
        {R"("0.0.0.0")", R"("255.249.199.9")"},
        {R"("256.0.0.0")", R"("1.2.3")", R"("01.2.3.4")"}},
       {R"({"type": "string", "format": "ipv6"})",
        {R"("::")", R"("::1")", R"("1:2:3:4:5:6:7:8")", R"("fe80::1:2")"},
        {R"("1:2")", R"("1::2::3")", R"("1:2:3:4:5:6:7:8:9")"}},
       {R"({"type": "string", "format": "uuid"})",
        {R"("01234567-89ab-cdef-0123-456789abcdef")"},
        {R"("0123")"}},
       {R"({"type": "string", "format": "duration"})",
        {R"("P1D")", R"("PT1H2M")", R"("P3W")", R"("P1Y2M3DT4S")"},
        {R"("P")", R"("PT")", R"("P1DT")", R"("P1Y3D")"}},
       {R"({"type": "string", "format": "email"})",
        {R"("a.b@c.org")"},
        {R"("a@")", R"("a b@c")", R"(".a@c")"}},
       {R"({"type": "string", "format": "hostname", "maxLength": 4})",
        {R"("a.bc")"},
        {R"("a.bcd")", R"("-a")", R"("a-")"}}});
}

TEST(JsonSchema, Arrays) {
  check({{R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2})",
          {"[1]", "[1,2]", "[ 1, 2 ]", "[\n  1,\n  2\n]"},
          {"[]", "[1,2,3]", "[1,]", "[,1]", "[\"a\"]"}},
         {R"({"type": "array", "maxItems": 0})", {"[]", "[ ]"}, {"[1]"}},
         {R"({"type": "array"})", {"[]", "[1, \"a\", {}]"}, {"{}"}},
         {R"({"prefixItems": [{"type": "string"}, {"type": "integer"}]})",
          {"[]", "[\"a\"]", "[\"a\", 1]"},
          {"[1]", "[\"a\",1,2]"}},
         {R"({"prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 2, "maxItems": 3})",
          {"[1,2]", "[1,2,2]"},
          {"[1]", "[1,2,2,2]", "[1,1]"}},
         {R"({"prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1})",
          {"[]", "[1]"},
          {"[1,2]"}},
         {R"({"items": [{"const": 1}], "additionalItems": false})", {"[1]", "[]"}, {"[1,1]"}}});
}

TEST(JsonSchema, Objects) {
  check(
      {{R"({"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}}, "required": ["b"]})",
        {R"({"b":1})", R"({"a": 1, "b": 2})", R"({"b":1,"c":2})",
         "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}"},
        {"{}", R"({"a":1})", R"({"b":1,"a":2})", R"({"b":1,"b":1})", R"({"b":1,"x":1})",
         R"({,"b":1})"}},
       {R"({"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "boolean"}})",
        {"{}", R"({"a":1})", R"({"x":true})", R"({"a":1,"ab":true,"":false})"},
        {R"({"a":true})", R"({"x":true,"a":1})", R"({"\u0061":true})", R"({"x":1})"}},
       {R"({"additionalProperties": {"type": "integer"}, "maxProperties": 2})",
        {"{}", R"({"a":1,"b":2})"},
        {R"({"a":1,"b":2,"c":3})"}},
       {R"({"type": "object", "minProperties": 1})", {R"({"a":1})"}, {"{}"}},
       {R"({"required": ["x"], "type": "object"})", {R"({"x": [1]})"}, {"{}", R"({"y":1})"}},
       {R"({"type": "object", "properties": {}})", {"{}"}, {R"({"a":1})"}},
       {R"({"properties": {"a": false}, "additionalProperties": true})",
        {"{}", R"({"b":1})"},
        {R"({"a":1})"}}});
}

TEST(JsonSchema, CombinationsAndReferences) {
  check(
      {{R"({"anyOf": [{"type": "string"}, {"type": "integer"}]})", {"\"a\"", "1"}, {"true"}},
       {R"({"oneOf": [{"type": "string"}, {"type": "integer"}]})", {"\"a\"", "1"}, {"true"}},
       {R"({"oneOf": [{"properties": {"k": {"const": 1}, "v": {"type": "integer"}}, "required": ["k"]},
                        {"properties": {"k": {"const": 2}}, "required": ["k"]}]})",
        {R"({"k":1,"v":3})", R"({"k":2})"},
        {R"({"k":2,"v":3})"}},
       {R"({"allOf": [{"type": "integer"}]})", {"1"}, {"\"a\""}},
       {R"({"$defs": {"L": {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/L"}, {"type": "null"}]}}, "required": ["next"]}}, "$ref": "#/$defs/L"})",
        {R"({"next":null})", R"({"next":{"next":{"next":null}}})"},
        {"{}", R"({"next":{}})"}},
       {R"({"properties": {"a/b": {"const": 1}, "c": {"$ref": "#/properties/a~1b"}}})",
        {R"({"c":1})"},
        {R"({"c":2})"}},
       {R"({"$defs": {"x y": {"const": 1}}, "$ref": "#/$defs/x%20y"})", {"1"}, {"2"}},
       {"true", {"1", "[null]"}, {""}}});
}

TEST(JsonSchema, RefusesByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"not": {"type": "string"}})", "#: the keyword \"not\" is not supported"},
      {R"({"properties": {"a": {"if": {}}}})", "#/properties/a: the keyword \"if\""},
      {R"({"patternProperties": {}})", "\"patternProperties\""},
      {R"({"items": {"contains": {}}})", "#/items: the keyword \"contains\""},
      {R"({"properties": {"a/b": {"dependentSchemas": {}}}})", "#/properties/a~1b"},
      {R"({"uniqueItems": true, "type": "array"})", "uniqueItems"},
      {R"({"allOf": [{}, {}]})", "allOf with more than one"},
      {R"({"anyOf": [{}], "type": "string"})", "\"type\" beside anyOf"},
      {R"({"$ref": "#", "minLength": 1})", "\"minLength\" beside $ref"},
      {R"({"enum": ["a"], "maxLength": 3})", "\"maxLength\" beside const or enum"},
      {R"({"oneOf": [{"type": "number"}, {"type": "integer"}]})", "may match both 0 and 1"},
      {R"({"oneOf": [{"properties": {"k": {"const": 1}}}, {"properties": {"k": {"const": 2}}}]})",
       "may match both"},
      {R"({"$ref": "https://example.org/s"})", "only places in the same schema"},
      {R"({"$ref": "#/$defs/none"})", "no such place"},
      {R"({"$ref": "#"})", "refers to itself"},
      {R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", "refers to itself"},
      {R"({"type": "string", "format": "idn-email"})", "format \"idn-email\" is not supported"},
      {R"({"type": "string", "pattern": "(?=a)b"})",
       "pattern: at byte 0 of the expression: look-ahead"},
      {R"({"type": "number", "multipleOf": 0.1})", "multipleOf"},
      {R"({"type": "integer", "multipleOf": 0.5})", "multipleOf"},
      {R"({"type": "strin"})", "type \"\\\"strin\\\"\""},
      {R"({"type": []})", "type is empty"},
      {R"({"enum": []})", "enum is empty"},
      {R"({"anyOf": []})", "anyOf is empty"},
      {R"({"enum": ["a"], "type": "integer"})", "no value"},
      {R"({"const": 1, "enum": [2]})", "const is not in enum"},
      {R"({"minLength": 3, "maxLength": 2})", "minLength is above maxLength"},
      {R"({"minItems": 3, "maxItems": 2})", "minItems is above maxItems"},
      {R"({"prefixItems": [{}], "items": false, "minItems": 2})", "only 1 items"},
      {R"({"minProperties": 3, "maxProperties": 2})", "minProperties is above"},
      {R"({"properties": {}, "required": ["a"], "additionalProperties": false})",
       "\"a\" is required"},
      {R"({"properties": {"a": false}, "required": ["a"]})", "is required, but false"},
      {R"({"type": "integer", "minimum": 3, "maximum": 2})", "no integer"},
      {R"({"type": "number", "exclusiveMinimum": 2, "maximum": 2})", "no number"},
      {R"({"type": "string", "pattern": "^a$", "minLength": 2})", "no string satisfies"},
      {R"({"minLength": -1})", "minLength: expected a whole number"},
      {R"({"minLength": "1"})", "minLength: expected a whole number"},
      {R"({"required": "a"})", "required: expected an array"},
      {R"({"properties": []})", "properties: expected an object"},
      {R"({"properties": {"a": 1}})", "#/properties/a: expected a schema"},
      {R"({"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}}, "$ref": "#/$defs/A"})",
       "no answer of at most"},
      {"false", "allows no value"},
      {"1", "expected a schema"},
      {"{", "not valid JSON"},
      {"", "not valid JSON"}};
  for (const auto& [schema, message] : cases) {
    const std::string error = error_of([&, s = schema] { Grammar::json_schema(s); });
    EXPECT_NE(error.find(message), std::string::npos) << schema << ": " << error;
  }
}

TEST(Choice, IsOneOfTheTexts) {
  const Grammar grammar = Grammar::choice({"yes", "yes, sir", "no", "是"});
  for (const char* text : {"yes", "yes, sir", "no", "是"})
    EXPECT_TRUE(grammar.matches(text)) << text;
  for (const char* text : {"", "ye", "yes,", "nono", "\xe6"})
    EXPECT_FALSE(grammar.matches(text)) << text;
  EXPECT_THROW(Grammar::choice({}), Error);
  EXPECT_THROW(Grammar::choice({""}), Error);
  EXPECT_THROW(Grammar::choice({"\xff"}), Error);
}

TEST(ToolCall, IsOfOneOfTheTools) {
  const std::vector<Grammar::Tool> tools = {
      {"look", R"({"type": "object", "properties": {"far": {"type": "boolean"}}})"}, {"go \"on\""}};
  const Grammar forced = Grammar::tool_call(tools, false);
  const Grammar free = Grammar::tool_call(tools, true);
  for (const char* call :
       {R"({"name": "look", "arguments": {"far": true}})", R"({"name": "look", "arguments": {}})",
        R"({"name": "go \"on\"", "arguments": {"x": [1]}})"}) {
    const std::string text = fmt::format("<tool_call>\n{}\n</tool_call>", call);
    EXPECT_TRUE(forced.matches(text)) << text;
    EXPECT_TRUE(free.matches(text)) << text;
  }
  for (const char* call : {R"({"name": "look", "arguments": {"far": 1}})",
                           R"({"name": "run", "arguments": {}})", "", "x"}) {
    const std::string text = fmt::format("<tool_call>\n{}\n</tool_call>", call);
    EXPECT_FALSE(forced.matches(text)) << text;
    EXPECT_FALSE(free.matches(text)) << text;
  }
  for (const char* text : {"", "No tool fits.\nAt all.", "<tool", "<b>é</b>"}) {
    EXPECT_FALSE(forced.matches(text)) << text;
    EXPECT_TRUE(free.matches(text)) << text;
  }
  EXPECT_THROW(Grammar::tool_call({}, true), Error);
  EXPECT_NE(error_of([] {
              Grammar::tool_call({{"f", R"({"not": {}})"}}, false);
            }).find("the parameters of \"f\": JSON schema, #: the keyword \"not\""),
            std::string::npos);
}

TEST(Either, HasTheTextsOfBoth) {
  const Grammar list = Grammar::json_schema(R"({"type": "array", "maxItems": 2})");
  const Grammar calls = Grammar::tool_call({{"stop"}}, false);
  const Grammar both = Grammar::either(calls, list);
  const std::string call = "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>";
  for (const std::string& text : {call, std::string("[]"), std::string("[1, [2]]")}) {
    EXPECT_TRUE(both.matches(text)) << text;
  }
  for (const std::string& text : {std::string(), call + "[]", std::string("[1, 2, 3]")}) {
    EXPECT_FALSE(both.matches(text)) << text;
  }
  EXPECT_NE(both.source(), Grammar::either(list, calls).source());
  const Grammar nested = Grammar::either(both, Grammar::choice({"yes"}));
  EXPECT_TRUE(nested.matches("yes") && nested.matches(call) && nested.matches("[[[]]]"));
}

// Schemas that are meant to take long or much, each within a second or refused; masks of the
// beginnings of an answer, too.
std::vector<std::string> hostile_schemas() {
  const auto repeated = [](const std::string& text, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  std::vector<std::string> schemas = {
      repeated(R"({"items":)", 5000) + "true" + repeated("}", 5000),
      repeated(R"({"anyOf":[{"type":"null"},)", 90) + "true" + repeated("]}", 90),
      R"({"enum": [)" + repeated("[", 100000) + repeated("]", 100000) + "]}",
      R"({"type": "array", "items": {"type": "string", "minLength": 1000000}, "minItems": 1000000})",
      R"({"type": "string", "pattern": "(x|y)*x(x|y){40}"})",
      R"({"type": "string", "pattern": "^.{60000}$"})",
      R"({"type": "string", "pattern": "^(.{1000}){50}$"})",
      R"({"$defs": {"S": {"anyOf": [{"prefixItems": [{"$ref": "#/$defs/S"}], "minItems": 1},
          {"prefixItems": [{"$ref": "#/$defs/S"}, {"const": 1}], "minItems": 1}, {"const": 0}]}}, "$ref": "#/$defs/S"})"};
  std::string properties = R"({"type": "object", "properties": {)";
  std::string alternatives = R"({"anyOf": [)";
  std::string patterns = R"({"anyOf": [)";
  std::string chain = R"({"$defs": {"d0": {"type": "null"})";
  for (int i = 0; i < 3000; ++i) {
    const char* comma = i == 0 ? "" : ",";
    properties += fmt::format(R"({}"property number {}": {{"type": "string"}})", comma, i);
    alternatives += fmt::format(R"({}{{"type": "string", "minLength": {}}})", comma, i);
    if (i < 400)
      patterns +=
          fmt::format(R"({}{{"type": "string", "pattern": "^.*[a-z]{{{}}}"}})", comma, i % 40 + 1);
    chain += fmt::format(
        R"(, "d{}": {{"prefixItems": [{{"$ref": "#/$defs/d{}"}}, {{"$ref": "#/$defs/d{}"}}]}})",
        i + 1, i, i);
  }
  std::string values = "0";
  for (int i = 1; i < 5000; ++i) values += fmt::format(",{}", i);
  std::string exclusive;
  std::string keys = R"("key":1)";
  for (int i = 0; i < 60; ++i)
    exclusive += fmt::format(R"({}{{"enum":[{}]}})", i == 0 ? "" : ",", values);
  for (int i = 0; i < 100000; ++i) keys += fmt::format(",\"{}\":1", i);
  schemas.push_back(R"({"oneOf": [)" + exclusive + "]}");
  schemas.push_back(R"({"properties": {)" + keys + "}}");
  schemas.push_back(properties + "}}");
  schemas.push_back(properties + R"(}, "additionalProperties": true})");
  schemas.push_back(alternatives + "]}");
  schemas.push_back(patterns + "]}");
  schemas.push_back(chain + R"(}, "$ref": "#/$defs/d60"})");
  schemas.push_back(chain + R"(}, "$ref": "#/$defs/d3000"})");
  return schemas;
}

TEST(JsonSchema, NoSchemaCostsMuch) {
  for (const std::string& schema : hostile_schemas()) {
    const double start = processor_seconds();
    try {
      const Grammar grammar = Grammar::json_schema(schema);
      TokenMasks masks(grammar.automaton(), demo_trie());
      const DrawnAnswer answer = draw_answer(masks, *demo_trie(), 1, 40);
      EXPECT_EQ(answer.problem, "") << schema.substr(0, 60);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()), "");
    }
    EXPECT_LT(processor_seconds() - start, 20) << schema.substr(0, 60);
  }
}

}  // namespace
}  // namespace fvlm
