// Histories as clients replay them become the turns that Qwen2's chat template has for them.
#include <string>
#include <vector>

#include "net/api/tool_text.hpp"
#include "tests/net/api/api_fixture.hpp"

namespace fvlm {
namespace {

// The text with "*" where an image stands.
std::string with_images(const net::ChatTurn& turn) {
  std::string text = turn.text;
  for (auto place = turn.image_places.rbegin(); place != turn.image_places.rend(); ++place) {
    text.insert(*place, "*");
  }
  return text;
}

// "role: text" of each turn, and "+n" images that have no place in it.
std::vector<std::string> turns_of(const std::vector<ordered_json>& messages) {
  std::vector<std::string> turns;
  for (const net::ChatTurn& turn : accepted({{"messages", messages}}).turns) {
    const char* const roles[] = {"system", "user", "assistant"};
    turns.push_back(std::string(roles[static_cast<int>(turn.role)]) + ": " + with_images(turn));
    const std::size_t leading = turn.images.size() - turn.image_places.size();
    if (leading > 0) turns.back() += " +" + std::to_string(leading);
  }
  return turns;
}
using Turns = std::vector<std::string>;

ordered_json message(const std::string& role, const ordered_json& content) {
  return {{"role", role}, {"content", content}};
}
ordered_json with(ordered_json message, const ordered_json& change) {
  message.update(change);
  return message;
}
ordered_json call(const std::string& name, const std::string& arguments) {
  return {{"id", "call_1"},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", arguments}}}};
}
ordered_json image(const std::string& url) {
  return {{"type", "image_url"}, {"image_url", {{"url", url}}}};
}
std::string refusal(const std::vector<ordered_json>& messages) {
  return refused({{"messages", messages}});
}

TEST(OpenAiMessages, RolesAndParts) {
  EXPECT_EQ(turns_of({message("developer", "Be brief."),
                      message("user", {{{"type", "text"}, {"text", "One"}},
                                       image("data:;base64,aGFsbG8="),
                                       {{"type", "text"}, {"text", "two"}}})}),
            (Turns{"system: Be brief.", "user: One\n*\ntwo"}));
}

TEST(OpenAiMessages, ImagesKeepTheirPlacesBetweenTexts) {
  const auto content = [](const std::string& parts) {
    ordered_json array = ordered_json::array();
    for (const char c : parts) {
      array.push_back(c == '*' ? image("data:;base64,aGFsbG8=")
                               : ordered_json{{"type", "text"}, {"text", std::string(1, c)}});
    }
    return turns_of({message("user", array)}).front();
  };
  EXPECT_EQ(content("*A"), "user: A +1");
  EXPECT_EQ(content("**A"), "user: A +2");
  EXPECT_EQ(content("*A*B"), "user: *\nA\n*\nB");
  EXPECT_EQ(content("A*B*"), "user: A\n*\nB\n*");
  EXPECT_EQ(content("A*B"), "user: A\n*\nB");
  // The model was trained on images before the text.
  EXPECT_EQ(content("A*"), "user: A +1");
  EXPECT_EQ(content("AB**"), "user: A\nB +2");
  EXPECT_EQ(content("**"), "user:  +2");
  EXPECT_EQ(content("AB"), "user: A\nB");
}

TEST(OpenAiMessages, AnAssistantMayHaveSaidNothing) {
  for (const ordered_json& said :
       {message("assistant", nullptr), ordered_json{{"role", "assistant"}},
        message("assistant", ""), message("assistant", ordered_json::array()),
        with(message("assistant", nullptr),
             {{"tool_calls", ordered_json::array()}, {"refusal", nullptr}, {"audio", nullptr}})}) {
    EXPECT_EQ(turns_of({message("user", "Hi"), said, message("user", "Well?")}),
              (Turns{"user: Hi", "assistant: ", "user: Well?"}));
  }
  EXPECT_EQ(refusal({message("user", nullptr)}),
            "messages[0].content: must be a text or an array of parts");
}

TEST(OpenAiMessages, ARefusalIsWhatTheAssistantSaid) {
  EXPECT_EQ(turns_of({message("user", "Hi"),
                      with(message("assistant", nullptr), {{"refusal", "I will not."}}),
                      message("user", "Please."),
                      message("assistant", {{{"type", "refusal"}, {"refusal", "No."}}}),
                      message("user", "Ah.")}),
            (Turns{"user: Hi", "assistant: I will not.", "user: Please.", "assistant: No.",
                   "user: Ah."}));
}

TEST(OpenAiMessages, CallsAndAnswersOfTools) {
  const ordered_json calls = {call("clock", R"({"zone":"UTC","digits":[1,2]})"),
                              call("light", "{}")};
  EXPECT_EQ(turns_of({message("user", "Time?"),
                      with(message("assistant", nullptr), {{"tool_calls", calls}}),
                      with(message("tool", "12:00"), {{"tool_call_id", "call_1"}}),
                      with(message("tool", {{{"type", "text"}, {"text", "on"}}}),
                           {{"tool_call_id", "call_2"}, {"name", "light"}}),
                      message("user", "Thanks.")}),
            (Turns{"user: Time?",
                   "assistant: <tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\": "
                   "\"UTC\", \"digits\": [1, 2]}}\n</tool_call>\n<tool_call>\n{\"name\": "
                   "\"light\", \"arguments\": {}}\n</tool_call>",
                   "user: <tool_response>\n12:00\n</tool_response>\n<tool_response>\non\n"
                   "</tool_response>",
                   "user: Thanks."}));
  // With words before, with arguments that are no object, and in the form before tools.
  EXPECT_EQ(turns_of({message("user", "Time?"),
                      with(message("assistant", "I look."),
                           {{"tool_calls", ordered_json::array({call("clock", "now!")})}}),
                      with(message("tool", "12:00"), {{"tool_call_id", "call_1"}}),
                      with(message("assistant", nullptr),
                           {{"function_call", {{"name", "f"}, {"arguments", "{\"a\":1}"}}}}),
                      with(message("function", "7"), {{"name", "f"}})}),
            (Turns{"user: Time?",
                   "assistant: I look.\n<tool_call>\n{\"name\": \"clock\", \"arguments\": now!}\n"
                   "</tool_call>",
                   "user: <tool_response>\n12:00\n</tool_response>",
                   "assistant: <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n"
                   "</tool_call>",
                   "user: <tool_response>\n7\n</tool_response>"}));
}

TEST(OpenAiMessages, WhatOfToolsIsWrong) {
  const ordered_json user = message("user", "Hi");
  const auto calls = [&](const ordered_json& all) {
    return refusal({user, with(message("assistant", nullptr), {{"tool_calls", all}}), user});
  };
  EXPECT_EQ(calls(5), "messages[1].tool_calls: must be an array of up to 128 calls");
  EXPECT_EQ(calls(ordered_json::array({5})),
            "messages[1].tool_calls[0]: must be an object with a \"function\"");
  EXPECT_EQ(
      calls(ordered_json::array({{{"function", {{"name", "f"}}}}})),
      "messages[1].tool_calls[0].function: must have a \"name\" and \"arguments\", both texts");
  EXPECT_EQ(calls(ordered_json::array({with(call("f", "{}"), {{"type", "custom"}})})),
            "messages[1].tool_calls[0].type: \"type\" is not supported here, except \"function\" "
            "[unsupported_parameter]");
  EXPECT_EQ(refusal({with(user, {{"tool_calls", ordered_json::array({call("f", "{}")})}})}),
            "messages[0].tool_calls: only messages of the assistant have it");
  EXPECT_EQ(refusal({user, with(message("assistant", nullptr),
                                {{"tool_calls", ordered_json::array({call("f", "{}")})}})}),
            "messages: the last message calls tools: their answers must follow");
  EXPECT_EQ(refusal({message("tool", ordered_json::array({image("data:;base64,aGFsbG8=")}))}),
            "messages[0].content: a tool's answer must be text");
}

TEST(OpenAiMessages, FieldsWithoutEffectAndOthers) {
  const ordered_json cache = {{"cache_control", {{"type", "ephemeral"}}}};
  const ordered_json text = {{"type", "text"}, {"text", "Hi"}, {"prompt_cache_breakpoint", true}};
  EXPECT_EQ(turns_of({with(message("user", ordered_json::array({with(text, cache)})), cache),
                      with(message("assistant", "Yes"),
                           {{"annotations", ordered_json::array()}, {"reasoning_content", ""}}),
                      with(message("user", "So"), {{"name", ""}})}),
            (Turns{"user: Hi", "assistant: Yes", "user: So"}));
  EXPECT_EQ(
      refusal({with(message("user", "Hi"), {{"name", "Ann"}})}),
      "messages[0].name: \"name\" is not supported here: the chat template has none; write it "
      "into the text [unsupported_parameter]");
  EXPECT_EQ(refusal({with(message("user", "Hi"), {{"weight", 1}})}),
            "messages[0].weight: \"weight\" is not known here [unknown_parameter]");
  EXPECT_EQ(refusal({message("user", "Hi"),
                     with(message("assistant", nullptr), {{"audio", {{"id", "a"}}}})}),
            "messages[1].audio: \"audio\" is not supported here [unsupported_parameter]");
  EXPECT_EQ(refusal({message("user", ordered_json::array({with(text, {{"foo", 1}})}))}),
            "messages[0].content[0].foo: \"foo\" is not known here [unknown_parameter]");
  EXPECT_TRUE(refusal({message("user", ordered_json::array({{{"type", "video_url"},
                                                             {"video_url", {{"url", "x"}}}}}))})
                  .starts_with("messages[0].content[0].type: \"video_url\" is not supported here: "
                               "send a video as some of its frames"));
  for (const char* type : {"input_audio", "file", "input_image"}) {
    EXPECT_NE(refusal({message("user", ordered_json::array({{{"type", type}}}))}).find(type),
              std::string::npos);
  }
}

TEST(OpenAiMessages, DetailsOfPictures) {
  const auto with_detail = [](const ordered_json& detail) {
    ordered_json part = image("data:image/png;base64,aGFsbG8=");
    part["image_url"]["detail"] = detail;
    return std::vector{message("user", ordered_json::array({part}))};
  };
  for (const char* detail : {"auto", "low", "high"}) EXPECT_EQ(refusal(with_detail(detail)), "");
  EXPECT_EQ(refusal(with_detail("fine")),
            "messages[0].content[0].image_url.detail: \"detail\" is not supported here, except "
            "\"auto\" or \"low\" or \"high\": a picture always has the same detail "
            "[unsupported_parameter]");
}

TEST(OpenAiMessages, DataUrlsAsClientsWriteThem) {
  const auto file = [](const std::string& url) {
    const ordered_json asked = message("user", ordered_json::array({image(url)}));
    const auto request = accepted({{"messages", ordered_json::array({asked})}});
    return request.turns.empty() ? "" : request.turns[0].images[0];
  };
  const std::string bytes = "\xfb\xff\xfe!";
  for (const char* url :
       {"data:image/png;base64,+//+IQ==", "data:image/png;base64,-__-IQ==",
        "data:image/png;base64,+//+IQ", "data:image/png;base64,+//\n+\r\nI Q=\t=\n",
        "DATA:image/png;BASE64,+//+IQ==", "Data:;Base64,+//+IQ==", " \ndata:;base64,+//+IQ==",
        "data:image/png;charset=utf-8;base64,+//+IQ==", "data:image/png;base64 , +//+IQ==",
        "data:image/png;base64,%2B%2f%2F%2bIQ%3D%3D"}) {
    EXPECT_EQ(file(url), bytes) << url;
  }
  const std::string place = "messages[0].content[0].image_url.url: ";
  const auto wrong = [&](const std::string& url) {
    return refusal({message("user", ordered_json::array({image(url)}))});
  };
  EXPECT_EQ(wrong("data:image/png,abc"),
            place + "a data URL must be \"data:TYPE;base64,DATA\" [invalid_image_url]");
  EXPECT_EQ(wrong("data:image/png;base64"),
            place + "a data URL must be \"data:TYPE;base64,DATA\" [invalid_image_url]");
  for (const char* data : {"****", "aGFs%", "aGFs%zz", "a", "aGFs=bG8="}) {
    EXPECT_EQ(wrong(std::string("data:image/png;base64,") + data),
              place + "the data URL is not valid Base64 [invalid_image_url]")
        << data;
  }
  for (const char* url : {"http://127.0.0.1/a.jpg", "file:///etc/passwd", "", "aGFsbG8="}) {
    EXPECT_NE(wrong(url).find("fetches no URLs"), std::string::npos) << url;
  }
}

// A last turn of the assistant is continued; vLLM's fields may say so.
TEST(OpenAiMessages, ALastTurnOfTheAssistant) {
  ordered_json body = {{"messages", {message("user", "Hi"), message("assistant", "Hel")}}};
  EXPECT_EQ(accepted(body).turns.back().text, "Hel");
  body["continue_final_message"] = true;
  body["add_generation_prompt"] = false;
  EXPECT_EQ(refused(body), "");
  body["add_generation_prompt"] = true;
  EXPECT_TRUE(refused(body).starts_with("add_generation_prompt: "));
  body.erase("add_generation_prompt");
  body["continue_final_message"] = false;
  EXPECT_TRUE(refused(body).starts_with("continue_final_message: "));
  EXPECT_TRUE(
      refused(hi({{"continue_final_message", true}})).starts_with("continue_final_message"));
  EXPECT_TRUE(refused(hi({{"add_generation_prompt", false}})).starts_with("add_generation_prompt"));
  EXPECT_EQ(refused(hi({{"continue_final_message", false}, {"add_generation_prompt", true}})), "");
}

TEST(OpenAiMessages, WhatIsNoConversation) {
  EXPECT_EQ(refusal({}), "messages: must be an array of messages");
  EXPECT_EQ(refusal({5}), "messages[0]: must be an object");
  EXPECT_EQ(
      refusal({message("robot", "Hi")}),
      "messages[0].role: must be \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
  EXPECT_EQ(refusal({message("user", 7)}),
            "messages[0].content: must be a text or an array of parts");
}

TEST(ToolText, WritesJsonAsPythonDoes) {
  EXPECT_EQ(
      net::spaced_json(net::Json::parse(R"({"a":[1,2.5,null],"b":{},"c":[],"d":"x,y: \u00e9"})")),
      "{\"a\": [1, 2.5, null], \"b\": {}, \"c\": [], \"d\": \"x,y: \u00e9\"}");
}

}  // namespace
}  // namespace fvlm
