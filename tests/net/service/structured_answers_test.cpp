// Answers in a form that was asked for, and calls of tools, through the server, whole and streamed.
#include <gtest/gtest.h>

#include <string>

#include "tests/net/service/openai_fixture.hpp"

namespace fvlm {
namespace {

class StructuredAnswersTest : public OpenAiTest {
 protected:
  static json asked(const json& change, int seed = 1, int max_tokens = 300) {
    json body = question(max_tokens);
    body["temperature"] = 1.5;
    body["seed"] = seed;
    body.update(change);
    return body;
  }
  static json tools() {
    const json parameters = {{"type", "object"},
                             {"properties", {{"colour", {{"enum", {"red", "blue"}}}}}},
                             {"required", {"colour"}}};
    return json::array(
        {{{"type", "function"}, {"function", {{"name", "paint"}, {"parameters", parameters}}}}});
  }
};

TEST_F(StructuredAnswersTest, FollowTheirSchema) {
  const json schema = {{"type", "object"},
                       {"properties",
                        {{"n", {{"type", "integer"}, {"minimum", 1}, {"maximum", 9}}},
                         {"kind", {{"enum", {"cat", "dog"}}}}}},
                       {"required", {"n", "kind"}},
                       {"additionalProperties", false}};
  const json format = {
      {"response_format",
       {{"type", "json_schema"}, {"json_schema", {{"name", "s"}, {"schema", schema}}}}}};
  for (int seed = 1; seed <= 3; ++seed) {
    const json choice = answer(asked(format, seed))["choices"][0];
    ASSERT_EQ(choice["finish_reason"], "stop") << choice;
    const json value = json::parse(choice["message"]["content"].get<std::string>());
    EXPECT_TRUE(value["n"] >= 1 && value["n"] <= 9 && value["n"].is_number_integer()) << value;
    EXPECT_TRUE(value["kind"] == "cat" || value["kind"] == "dog") << value;
  }
  json streamed = asked(format, 2);
  streamed["stream"] = true;
  std::string text;
  for (const json& event : events(post(streamed))) {
    text += event["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, answer(asked(format, 2))["choices"][0]["message"]["content"]);
}

TEST_F(StructuredAnswersTest, OfVllmsFields) {
  const auto content = [&](const json& change) {
    return answer(asked(change))["choices"][0]["message"]["content"].get<std::string>();
  };
  const std::string chosen = content({{"guided_choice", {"left", "right"}}});
  EXPECT_TRUE(chosen == "left" || chosen == "right") << chosen;
  EXPECT_EQ(content({{"guided_regex", "x{3}"}}), "xxx");
  EXPECT_EQ(content({{"guided_json", {{"const", json::array({1})}}}}).find('['), 0U);
}

TEST_F(StructuredAnswersTest, OneThatIsCutOffSaysSo) {
  const json choice = answer(asked({{"guided_regex", "[0-9]{200}"}}, 1, 5))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
}

TEST_F(StructuredAnswersTest, CallTools) {
  const json forced = {{"tools", tools()}, {"tool_choice", "required"}};
  const json choice = answer(asked(forced))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls") << choice;
  EXPECT_TRUE(choice["message"]["content"].is_null());
  const json call = choice["message"]["tool_calls"].at(0);
  EXPECT_EQ(call["type"], "function");
  EXPECT_TRUE(call["id"].get<std::string>().starts_with("call-"));
  EXPECT_EQ(call["function"]["name"], "paint");
  const json arguments = json::parse(call["function"]["arguments"].get<std::string>());
  EXPECT_TRUE(arguments["colour"] == "red" || arguments["colour"] == "blue") << arguments;

  json streamed = asked(forced);
  streamed["stream"] = true;
  const auto all = events(post(streamed));
  ASSERT_EQ(all.size(), 3U);
  json delta = all[1]["choices"][0]["delta"]["tool_calls"].at(0);
  EXPECT_EQ(delta["index"], 0);
  EXPECT_EQ(delta["function"], call["function"]);
  EXPECT_EQ(all[2]["choices"][0]["finish_reason"], "tool_calls");
}

// As OpenAI has it: the call as far as it goes, and never its markup.
TEST_F(StructuredAnswersTest, ACallThatIsCutOffIsTheBeginningOfOne) {
  json body = asked({{"tools", tools()}, {"tool_choice", "required"}});
  body["tools"][0]["function"]["parameters"]["properties"]["colour"] = {{"type", "string"},
                                                                        {"pattern", "^[a-z]{90}$"}};
  bool named = false;
  std::string arguments;
  for (int tokens = 1; tokens < 70; tokens += 4) {
    body["max_tokens"] = tokens;
    body["stream"] = false;
    const json choice = answer(body)["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "length") << choice;
    const json& message = choice["message"];
    EXPECT_TRUE(message["content"].is_null() || message["content"] == "") << message;
    EXPECT_FALSE(named && !message.contains("tool_calls")) << message;
    json function;
    if (message.contains("tool_calls")) {
      named = true;
      function = message["tool_calls"][0]["function"];
      EXPECT_EQ(function["name"], "paint");
      EXPECT_TRUE(function["arguments"].get<std::string>().starts_with(arguments)) << function;
      arguments = function["arguments"];
    }
    body["stream"] = true;
    json streamed;
    std::string text;
    for (const json& event : events(post(body))) {
      const json& delta = event["choices"][0]["delta"];
      text += delta.value("content", "");
      if (delta.contains("tool_calls")) streamed = delta["tool_calls"][0]["function"];
    }
    EXPECT_EQ(text, "");
    EXPECT_EQ(streamed, function);
  }
  EXPECT_NE(arguments.find("\"colour\""), arguments.npos) << arguments;
}

TEST_F(StructuredAnswersTest, StopStringsEndTextsAndNoCalls) {
  json body = asked({{"tools", tools()}, {"tool_choice", "required"}, {"stop", {"\n", "colour"}}});
  const json choice = answer(body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls") << choice;
}

TEST_F(StructuredAnswersTest, ToolsAndAFormGiveOneOfBoth) {
  json body = asked({{"tools", tools()}, {"response_format", {{"type", "json_object"}}}});
  for (int seed = 1; seed <= 4; ++seed) {
    body["seed"] = seed;
    const json choice = answer(body)["choices"][0];
    if (choice["finish_reason"] == "length") continue;
    const json& message = choice["message"];
    const std::string value = message.contains("tool_calls")
                                  ? message["tool_calls"][0]["function"]["arguments"]
                                  : message["content"];
    EXPECT_TRUE(json::parse(value).is_object()) << choice;
  }
}

TEST_F(StructuredAnswersTest, ATextBesideToolsIsAText) {
  const json free = {{"tools", tools()}};
  json body = asked(free, 1, 12);
  const json choice = answer(body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length") << choice;
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  body["stream"] = true;
  std::string text;
  std::size_t pieces = 0;
  for (const json& event : events(post(body))) {
    const std::string piece = event["choices"][0]["delta"].value("content", "");
    pieces += piece.empty() ? 0 : 1;
    text += piece;
  }
  EXPECT_EQ(text, choice["message"]["content"]);
  EXPECT_GT(pieces, 1U) << "it comes as it is made";
}

}  // namespace
}  // namespace fvlm
