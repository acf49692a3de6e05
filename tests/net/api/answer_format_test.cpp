// The fields that ask for a form of the answer become grammars, or are refused with the place of
// what is wrong.
#include <string>

#include "tests/net/api/api_fixture.hpp"

namespace fvlm {
namespace {

bool allows(const ordered_json& change, const std::string& answer) {
  const net::ChatRequest request = accepted(hi(change));
  EXPECT_TRUE(request.grammar.has_value()) << change;
  return request.grammar && request.grammar->matches(answer);
}

ordered_json json_schema(const ordered_json& schema) {
  return {{"response_format",
           {{"type", "json_schema"},
            {"json_schema", {{"name", "n"}, {"strict", true}, {"schema", schema}}}}}};
}

const ordered_json kInteger = {{"type", "integer"}};

TEST(AnswerFormat, BecomesAGrammar) {
  EXPECT_FALSE(accepted(hi()).grammar);
  EXPECT_FALSE(accepted(hi({{"response_format", {{"type", "text"}}}})).grammar);
  const ordered_json object = {{"response_format", {{"type", "json_object"}}}};
  EXPECT_TRUE(allows(object, R"({"a": [1]})"));
  EXPECT_FALSE(allows(object, "[1]"));
  EXPECT_TRUE(allows(json_schema(kInteger), "12"));
  EXPECT_FALSE(allows(json_schema(kInteger), "{}"));
  for (const ordered_json& schema : {kInteger, ordered_json(kInteger.dump())}) {
    EXPECT_TRUE(allows({{"guided_json", schema}}, "12"));
    EXPECT_TRUE(allows({{"structured_outputs", {{"json", schema}}}}, "12"));
  }
  EXPECT_TRUE(allows({{"guided_regex", "a+"}}, "aaa"));
  EXPECT_TRUE(allows({{"structured_outputs", {{"regex", "a+"}}}}, "aaa"));
  EXPECT_TRUE(allows({{"guided_choice", {"yes", "no"}}}, "no"));
  EXPECT_TRUE(allows({{"structured_outputs", {{"choice", {"yes", "no"}}}}}, "no"));
  EXPECT_TRUE(allows({{"structured_outputs", {{"json_object", true}}}}, "{}"));
  EXPECT_FALSE(accepted(hi({{"structured_outputs", {{"json_object", false}}}})).grammar);
}

TEST(AnswerFormat, PropertiesComeInTheSchemasOrder) {
  const ordered_json schema = {{"type", "object"},
                               {"properties", {{"z", kInteger}, {"a", kInteger}}},
                               {"required", {"a", "z"}}};
  EXPECT_TRUE(allows(json_schema(schema), R"({"z":1,"a":2})"));
  EXPECT_FALSE(allows(json_schema(schema), R"({"a":2,"z":1})"));
}

TEST(AnswerFormat, SaysWhatIsWrong) {
  const std::pair<ordered_json, std::string> cases[] = {
      {{{"response_format", "json"}}, "response_format: "},
      {{{"response_format", {{"type", "xml"}}}}, "response_format.type: "},
      {{{"response_format", {{"type", "json_object"}, {"schema", {}}}}}, ""},
      {{{"response_format", {{"type", "json_object"}, {"strict", true}}}},
       "response_format.strict: "},
      {{{"response_format", {{"type", "json_schema"}}}}, "response_format.json_schema: "},
      {json_schema({{"not", {{"type", "string"}}}}),
       "response_format.json_schema.schema: \"response_format.json_schema.schema\": JSON schema, "
       "#: the "
       "keyword \"not\" is not supported"},
      {{{"guided_json", "{"}}, "guided_json: \"guided_json\": the JSON schema is not valid JSON"},
      {{{"guided_regex", "("}}, "guided_regex: \"guided_regex\": at byte 0"},
      {{{"guided_regex", {"a"}}}, "guided_regex: "},
      {{{"guided_choice", "a"}}, "guided_choice: "},
      {{{"guided_choice", {"a", 1}}}, "guided_choice: "},
      {{{"guided_choice", ordered_json::array()}}, "guided_choice: "},
      {{{"guided_choice", {""}}}, "guided_choice: "},
      {{{"structured_outputs", "a"}}, "structured_outputs: "},
      {{{"structured_outputs", {{"grammar", "a"}}}}, "structured_outputs.grammar: "},
      {{{"structured_outputs", {{"regex", "a"}, {"choice", {"b"}}}}},
       "structured_outputs.choice: "},
      {{{"guided_regex", "a"}, {"response_format", {{"type", "json_object"}}}}, "guided_regex: "}};
  for (const auto& [change, message] : cases) {
    const std::string error = refused(hi(change));
    EXPECT_TRUE(error.starts_with(message)) << change << "\n" << error;
    EXPECT_EQ(error.empty(), message.empty()) << change << "\n" << error;
  }
}

}  // namespace
}  // namespace fvlm
