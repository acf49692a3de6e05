// OpenAI's completions and responses, whole and streamed, as their clients see them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/net/service/openai_fixture.hpp"

namespace fvlm {
namespace {

class OpenAiTexts : public OpenAiTest {
 protected:
  std::string send(const std::string& path, const json& body) const {
    const std::string text = body.dump();
    return http(port(), "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                            std::to_string(text.size()) + "\r\n\r\n" + text);
  }
  json ask(const std::string& path, const json& body, int status = 200) const {
    const std::string response = send(path, body);
    EXPECT_EQ(status_of(response), status) << response;
    return json::parse(body_of(response), nullptr, false);
  }
  json complete(const json& body, int status = 200) const {
    return ask("/v1/completions", body, status);
  }
  json respond(const json& body, int status = 200) const {
    return ask("/v1/responses", body, status);
  }
  // The data of typed events, whose types must be what their names say and whose numbers count.
  static std::vector<json> typed_events(const std::string& response) {
    std::vector<json> all;
    std::string_view rest = body_of(response);
    while (!rest.empty()) {
      const std::string_view one = rest.substr(0, rest.find("\n\n"));
      const std::size_t data = one.find("\ndata: ");
      all.push_back(json::parse(one.substr(data + 7)));
      EXPECT_EQ("event: " + all.back()["type"].get<std::string>(), one.substr(0, data));
      EXPECT_EQ(all.back()["sequence_number"], all.size() - 1);
      rest.remove_prefix(one.size() + 2);
    }
    return all;
  }
  static json looking(int tokens) {
    return {{"temperature", 0},
            {"max_output_tokens", tokens},
            {"input",
             {{{"role", "user"},
               {"content",
                {{{"type", "input_text"}, {"text", "What is it?"}},
                 {{"type", "input_image"},
                  {"image_url", "data:image/jpeg;base64," + base64(jpeg())}}}}}}}};
  }
};

TEST_F(OpenAiTexts, ATextIsContinuedAsItIs) {
  const json whole = complete({{"prompt", "Once upon"}, {"temperature", 0}, {"max_tokens", 6}});
  EXPECT_EQ(whole["object"], "text_completion");
  EXPECT_TRUE(whole["id"].get<std::string>().starts_with("cmpl-"));
  const json& choice = whole["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(whole["usage"]["completion_tokens"], 6);
  EXPECT_LT(whole["usage"]["prompt_tokens"], 10) << "no template";
  const json echo =
      complete({{"prompt", "Once upon"}, {"temperature", 0}, {"max_tokens", 6}, {"echo", true}});
  EXPECT_EQ(echo["choices"][0]["text"], "Once upon" + choice["text"].get<std::string>());
  EXPECT_EQ(complete({{"prompt", "Once upon"}})["usage"]["completion_tokens"], 16);

  std::string streamed;
  for (const json& event : events(send(
           "/v1/completions",
           {{"prompt", "Once upon"}, {"temperature", 0}, {"max_tokens", 6}, {"stream", true}}))) {
    streamed += event["choices"][0]["text"];
  }
  EXPECT_EQ(streamed, choice["text"]);
}

// As OpenAI's API has it: what the prompt takes is known, and "echo" says it.
TEST_F(OpenAiTexts, NoTokensAreAnAnswerToo) {
  json body = {{"prompt", "Once upon"}, {"max_tokens", 0}};
  const json none = complete(body);
  EXPECT_EQ(none["choices"][0]["text"], "");
  EXPECT_EQ(none["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(none["usage"]["completion_tokens"], 0);
  EXPECT_GT(none["usage"]["prompt_tokens"], 1);
  EXPECT_TRUE(
      complete(
          {{"prompt", "a"}, {"max_tokens", 0}, {"logprobs", 2}})["choices"][0]["logprobs"]["tokens"]
          .empty());
  body["echo"] = true;
  EXPECT_EQ(complete(body)["choices"][0]["text"], "Once upon");
  body["stream"] = true;
  std::string streamed;
  for (const json& event : events(send("/v1/completions", body))) {
    streamed += event["choices"][0]["text"];
  }
  EXPECT_EQ(streamed, "Once upon");
}

TEST_F(OpenAiTexts, SeveralPromptsHaveSeveralAnswersEach) {
  const json both = complete({{"prompt", {"one", "two two"}},
                              {"n", 2},
                              {"temperature", 1.2},
                              {"seed", 5},
                              {"max_tokens", 6}});
  ASSERT_EQ(both["choices"].size(), 4U);
  const json second =
      complete({{"prompt", "two two"}, {"temperature", 1.2}, {"seed", 6}, {"max_tokens", 6}});
  EXPECT_EQ(both["choices"][3]["text"], second["choices"][0]["text"]);
  EXPECT_EQ(both["choices"][3]["index"], 3);
  const json first = complete({{"prompt", "one"}, {"max_tokens", 6}});
  EXPECT_EQ(both["usage"]["prompt_tokens"], first["usage"]["prompt_tokens"].get<int>() +
                                                second["usage"]["prompt_tokens"].get<int>());
}

TEST_F(OpenAiTexts, TokensAreAPrompt) {
  const json ids = complete({{"prompt", {5, 6, 7}}, {"max_tokens", 2}});
  EXPECT_EQ(ids["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(complete({{"prompt", {{5, 6}, {7}}}, {"max_tokens", 2}})["choices"].size(), 2U);
  const json error = complete({{"prompt", {5, 1 << 20}}}, 400)["error"];
  EXPECT_EQ(error["param"], "prompt");
}

TEST_F(OpenAiTexts, CompletionsHaveLogprobsOfTheirOwnShape) {
  const json choice =
      complete({{"prompt", "Once upon"}, {"max_tokens", 4}, {"logprobs", 3}})["choices"][0];
  const json& logprobs = choice["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 4U);
  EXPECT_EQ(logprobs["token_logprobs"].size(), 4U);
  EXPECT_GE(logprobs["top_logprobs"][0].size(), 1U);
  EXPECT_EQ(logprobs["text_offset"][0], 0);
}

TEST_F(OpenAiTexts, AResponseIsTheAnswerOfAChat) {
  const json whole = respond(looking(9));
  EXPECT_EQ(whole["object"], "response");
  EXPECT_EQ(whole["status"], "incomplete");
  EXPECT_EQ(whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole["usage"]["output_tokens"], 9);
  const json& part = whole["output"][0]["content"][0];
  EXPECT_EQ(part["type"], "output_text");
  EXPECT_EQ(part["text"], answer(question(9))["choices"][0]["message"]["content"]);
  EXPECT_EQ(respond({{"input", "Hi"}, {"max_output_tokens", 1}})["max_output_tokens"], 1);
}

TEST_F(OpenAiTexts, AResponseIsStreamedAsTypedEvents) {
  json body = looking(9);
  const std::string text = respond(body)["output"][0]["content"][0]["text"];
  body["stream"] = true;
  const std::vector<json> all = typed_events(send("/v1/responses", body));
  ASSERT_GE(all.size(), 9U);
  EXPECT_EQ(all[0]["type"], "response.created");
  EXPECT_EQ(all[1]["type"], "response.in_progress");
  EXPECT_EQ(all[2]["type"], "response.output_item.added");
  EXPECT_EQ(all[3]["type"], "response.content_part.added");
  std::string said;
  for (const json& event : all) {
    if (event["type"] == "response.output_text.delta") said += event["delta"];
  }
  EXPECT_EQ(said, text);
  EXPECT_EQ(all[all.size() - 4]["text"], text);
  EXPECT_EQ(all[all.size() - 2]["item"]["content"][0]["text"], text);
  EXPECT_EQ(all.back()["type"], "response.incomplete");
  EXPECT_EQ(all.back()["response"]["output"][0]["content"][0]["text"], text);
  EXPECT_EQ(all.back()["response"]["usage"]["output_tokens"], 9);
}

TEST_F(OpenAiTexts, ACallIsAnItemOfItsOwn) {
  json body = looking(200);
  body["tools"] = {
      {{"type", "function"},
       {"name", "look"},
       {"parameters",
        {{"type", "object"}, {"properties", {{"at", {{"const", "sky"}}}}}, {"required", {"at"}}}}}};
  body["tool_choice"] = {{"type", "function"}, {"name", "look"}};
  const json item = respond(body)["output"][0];
  EXPECT_EQ(item["type"], "function_call");
  EXPECT_EQ(item["name"], "look");
  EXPECT_EQ(json::parse(item["arguments"].get<std::string>()), json({{"at", "sky"}}));
  body["stream"] = true;
  const std::vector<json> all = typed_events(send("/v1/responses", body));
  ASSERT_EQ(all.size(), 7U);
  EXPECT_EQ(all[2]["item"]["arguments"], "");
  EXPECT_EQ(all[4]["type"], "response.function_call_arguments.done");
  EXPECT_EQ(all.back()["type"], "response.completed");
  EXPECT_EQ(all.back()["response"]["output"][0]["arguments"], item["arguments"]);
}

TEST_F(OpenAiTexts, ACallThatIsCutOffIsAnIncompleteItem) {
  json body = looking(14);
  body["tools"] = {
      {{"type", "function"},
       {"name", "look"},
       {"parameters",
        {{"properties", {{"at", {{"pattern", "^[a-z]{90}$"}}}}}, {"required", {"at"}}}}}};
  body["tool_choice"] = "required";
  for (int tokens = 1; tokens < 40; tokens += 3) {
    body["max_output_tokens"] = tokens;
    body["stream"] = false;
    const json whole = respond(body);
    EXPECT_EQ(whole["status"], "incomplete");
    const json& item = whole["output"][0];
    EXPECT_EQ(item["status"], "incomplete");
    EXPECT_EQ(whole.dump().find("<tool_call>"), std::string::npos) << whole;
    if (item["type"] == "message") {
      EXPECT_EQ(item["content"][0]["text"], "");
    } else {
      EXPECT_EQ(item["name"], "look");
    }
    body["stream"] = true;
    const std::vector<json> all = typed_events(send("/v1/responses", body));
    EXPECT_EQ(all.back()["type"], "response.incomplete");
    const json& last = all.back()["response"]["output"][0];
    EXPECT_EQ(last["type"], item["type"]);
    EXPECT_EQ(last.value("arguments", ""), item.value("arguments", ""));
  }
}

TEST_F(ServerTest, AResponseThatIsCutHasFailed) {
  start_endless({});
  const std::string body = R"({"input": "Hi", "stream": true})";
  RawSocket stream(port());
  stream.send("POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  stream.read_until("token");
  server_->drain(std::chrono::milliseconds(50));
  const std::string end = stream.read_all();
  const std::size_t data = end.find("event: response.failed\ndata: ");
  ASSERT_NE(data, end.npos) << end;
  const json event = json::parse(end.substr(data + 29, end.find("\n\n", data) - data - 29));
  EXPECT_EQ(event["response"]["status"], "failed");
  EXPECT_EQ(event["response"]["error"]["code"], "stopping");
}

}  // namespace
}  // namespace fvlm
