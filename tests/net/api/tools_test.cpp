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
            "tools: the parameters of \"f\": JSON schema, #: the keyword \"not\" is not supported");
  EXPECT_TRUE(refused(hi({{"tools", "f"}})).starts_with("tools: "));
  EXPECT_TRUE(refused(hi({{"tool_choice", "required"}})).starts_with("tool_choice: "));
  EXPECT_TRUE(refused(with_tools("look")).starts_with("tool_choice: "));
  EXPECT_TRUE(refused(with_tools({{"type", "function"}, {"function", {{"name", "run"}}}}))
                  .starts_with("tool_choice: "));
  ordered_json both = with_tools("auto");
  both["response_format"] = {{"type", "json_object"}};
  EXPECT_TRUE(refused(both).starts_with("tools: "));
  both["tool_choice"] = "none";
  EXPECT_EQ(refused(both), "");
}

TEST(Tools, ReadsCalls) {
  const auto call = net::read_tool_call(kLook);
  ASSERT_TRUE(call);
  EXPECT_EQ(call->name, "look");
  EXPECT_EQ(call->arguments, R"({"far":true})");
  for (const std::string& text :
       {std::string(), std::string("text"), kLook.substr(0, 40), kLook + "\n", "x" + kLook}) {
    EXPECT_FALSE(net::read_tool_call(text)) << text;
  }
  for (const char* beginning : {"", "<", "<tool_call>", "<tool_call>\n{"}) {
    EXPECT_TRUE(net::may_be_tool_call(beginning)) << beginning;
  }
  for (const char* beginning : {"a", "<b>", "<tool_call> "}) {
    EXPECT_FALSE(net::may_be_tool_call(beginning)) << beginning;
  }
}

}  // namespace
}  // namespace fvlm
