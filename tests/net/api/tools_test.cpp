// Tools: what is written into the system turn, which answers may be calls, and reading them.
#include "net/api/tools.hpp"

#include <string>
#include <vector>

#include "tests/net/api/api_fixture.hpp"

namespace fvlm {
namespace {

ordered_json tool(const std::string& name, const ordered_json& parameters = nullptr) {
  ordered_json function = {{"name", name}, {"description", "Does it."}};
  if (!parameters.is_null()) function["parameters"] = parameters;
  return {{"type", "function"}, {"function", std::move(function)}};
}

ordered_json with_tools(const ordered_json& choice) {
  const ordered_json far = {{"type", "object"}, {"properties", {{"far", {{"type", "boolean"}}}}}};
  ordered_json body = hi({{"tools", ordered_json::array({tool("look", far), tool("stop")})}});
  if (!choice.is_null()) body["tool_choice"] = choice;
  return body;
}

const std::string kLook =
    "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"far\": true}}\n</tool_call>";
const std::string kStop = "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>";

TEST(Tools, MayBeCalledMustBeOrMustNot) {
  for (const ordered_json& choice : {ordered_json(), ordered_json("auto")}) {
    const net::ChatRequest request = accepted(with_tools(choice));
    ASSERT_TRUE(request.may_call);
    for (const std::string& answer : {kLook, kStop, std::string("There is none.")}) {
      EXPECT_TRUE(request.grammar->matches(answer)) << answer;
    }
  }
  const net::ChatRequest required = accepted(with_tools("required"));
  EXPECT_TRUE(required.grammar->matches(kLook));
  EXPECT_TRUE(required.grammar->matches(kStop));
  EXPECT_FALSE(required.grammar->matches("There is none."));
  const net::ChatRequest named =
      accepted(with_tools({{"type", "function"}, {"function", {{"name", "stop"}}}}));
  EXPECT_FALSE(named.grammar->matches(kLook));
  EXPECT_TRUE(named.grammar->matches(kStop));
  const net::ChatRequest none = accepted(with_tools("none"));
  EXPECT_FALSE(none.may_call);
  EXPECT_FALSE(none.grammar);
  EXPECT_EQ(none.turns.size(), 1U);
}

TEST(Tools, AreWrittenIntoTheSystemTurn) {
  const net::ChatRequest request = accepted(with_tools("auto"));
  ASSERT_EQ(request.turns.size(), 2U);
  EXPECT_EQ(request.turns[0].role, Turn::Role::kSystem);
  const std::string& text = request.turns[0].text;
  EXPECT_TRUE(text.starts_with("You are a helpful assistant.\n\n# Tools\n\n"));
  EXPECT_NE(text.find("<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"look\", "
                      "\"description\": \"Does it.\", \"parameters\": {\"type\": \"object\", "
                      "\"properties\": {\"far\": {\"type\": \"boolean\"}}}}}\n{"),
            std::string::npos)
      << text;
  ordered_json body = with_tools("auto");
  body["messages"].insert(body["messages"].begin(),
                          ordered_json{{"role", "system"}, {"content", "Be brief."}});
  const net::ChatRequest own = accepted(body);
  ASSERT_EQ(own.turns.size(), 2U);
  EXPECT_TRUE(own.turns[0].text.starts_with("Be brief.\n\n# Tools\n\n"));
}

TEST(Tools, SaysWhatIsWrong) {
  const auto list = [](const ordered_json& one) {
    return hi({{"tools", ordered_json::array({one})}});
  };
  EXPECT_TRUE(refused(list("f")).starts_with("tools[0]: "));
  EXPECT_TRUE(refused(list({{"type", "retrieval"}, {"function", {{"name", "f"}}}}))
                  .starts_with("tools[0].type: "));
  EXPECT_TRUE(refused(list(tool("two words"))).starts_with("tools[0].function.name: "));
  EXPECT_TRUE(refused(list(tool(""))).starts_with("tools[0].function.name: "));
  EXPECT_EQ(refused(list(tool("f", {{"not", {{"type", "string"}}}}))),
            "tools[0].function.parameters: the parameters of \"f\": JSON schema, #: the keyword "
            "\"not\" is not supported");
  ordered_json second = with_tools("auto");
  second["tools"].push_back(tool("g", {{"type", "object"}, {"not", true}}));
  EXPECT_TRUE(refused(second).starts_with("tools[2].function.parameters: ")) << refused(second);
  second["tool_choice"] = {{"type", "function"}, {"function", {{"name", "g"}}}};
  EXPECT_TRUE(refused(second).starts_with("tools[2].function.parameters: ")) << refused(second);
  EXPECT_TRUE(refused(hi({{"tools", "f"}})).starts_with("tools: "));
  EXPECT_TRUE(refused(hi({{"tool_choice", "required"}})).starts_with("tool_choice: "));
  EXPECT_TRUE(refused(with_tools("look")).starts_with("tool_choice: "));
  EXPECT_TRUE(refused(with_tools({{"type", "function"}, {"function", {{"name", "run"}}}}))
                  .starts_with("tool_choice: "));
}

// As in OpenAI's API: the form is that of a text, and an answer may be a call instead.
TEST(Tools, StandBesideAFormOfTheAnswer) {
  ordered_json both = with_tools("auto");
  both["response_format"] = {{"type", "json_object"}};
  const net::ChatRequest either = accepted(both);
  EXPECT_TRUE(either.may_call);
  for (const std::string& answer : {kLook, kStop, std::string(R"({"a": [1]})")}) {
    EXPECT_TRUE(either.grammar->matches(answer)) << answer;
  }
  for (const char* answer : {"There is none.", "", "[1]"}) {
    EXPECT_FALSE(either.grammar->matches(answer)) << answer;
  }
  both["tool_choice"] = "required";
  const net::ChatRequest forced = accepted(both);
  EXPECT_TRUE(forced.grammar->matches(kLook));
  EXPECT_FALSE(forced.grammar->matches(R"({"a": [1]})"));
  both["tool_choice"] = "none";
  const net::ChatRequest text = accepted(both);
  EXPECT_FALSE(text.may_call);
  EXPECT_FALSE(text.grammar->matches(kLook));
}

TEST(Tools, ReadsCalls) {
  for (const bool cut : {false, true}) {
    const auto call = net::read_tool_call(kLook, cut);
    ASSERT_TRUE(call);
    EXPECT_EQ(call->name, "look");
    EXPECT_EQ(call->arguments, R"({"far":true})");
    EXPECT_TRUE(call->is_whole);
  }
  for (const std::string& text :
       {std::string(), std::string("text"), kLook.substr(0, 40), kLook + "\n", "x" + kLook,
        std::string("<tool_call>\n{\"name\": 1, \"arguments\": {}}\n</tool_call>")}) {
    EXPECT_FALSE(net::read_tool_call(text, false)) << text;
  }
  for (const char* beginning : {"", "<", "<tool_call>", "<tool_call>\n{"}) {
    EXPECT_TRUE(net::may_be_tool_call(beginning)) << beginning;
  }
  for (const char* beginning : {"a", "<b>", "<tool_call> "}) {
    EXPECT_FALSE(net::may_be_tool_call(beginning)) << beginning;
  }
}

// Wherever it is cut: the name once it is whole, and of the arguments as much as there is.
TEST(Tools, ReadsCallsThatWereCutOff) {
  const std::string call = "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"a\": \"}\\\"\"}}";
  const std::string whole = call + "\n</tool_call>";
  ASSERT_EQ(net::read_tool_call(whole, true)->arguments, R"({"a":"}\""})");
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto cut = net::read_tool_call(whole.substr(0, size), true);
    ASSERT_TRUE(cut) << size;
    EXPECT_FALSE(cut->is_whole) << size;
    const std::size_t name = whole.find("look");
    EXPECT_EQ(cut->name, size > name + 4 ? "look" : "") << size;
    const std::size_t object = whole.find("{\"a\"");
    const std::string arguments = size <= object ? "" : whole.substr(object, size - object);
    EXPECT_EQ(cut->arguments, size < call.size() - 1 ? arguments : R"({"a":"}\""})") << size;
  }
  for (const char* text : {"text", "<b>", "<tool_call>\nNo.", "<tool_call>\n{\"a\": "}) {
    EXPECT_FALSE(net::read_tool_call(text, true)) << text;
  }
}

}  // namespace
}  // namespace fvlm
