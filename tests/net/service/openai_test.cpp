// OpenAI's API, whole and streamed, as its clients see it.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "net/service/stop_filter.hpp"
#include "tests/net/service/openai_fixture.hpp"

namespace fvlm {
namespace {

TEST_F(OpenAiTest, NamesItsModel) {
  const json list = json::parse(body_of(http_get(port(), "/v1/models")));
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 1U);
  const json& model = list["data"][0];
  EXPECT_EQ(model["id"], "tiny");
  EXPECT_EQ(model["max_model_len"], engine_->info().context_tokens);
  EXPECT_EQ(model["max_completion_tokens"], 1900);
  EXPECT_EQ(model["image_tokens"], engine_->info().image_tokens);
  EXPECT_EQ(model["vocabulary"], engine_->info().vocabulary);
  EXPECT_EQ(model["device"], engine_->info().device);
  EXPECT_EQ(model["precision"], "f32");
  EXPECT_EQ(json::parse(body_of(http_get(port(), "/v1/models/"))), list);
  // The folder's name is the model's, too.
  EXPECT_EQ(json::parse(body_of(http_get(port(), "/v1/models/checkpoint"))), model);
  EXPECT_EQ(json::parse(body_of(http_get(port(), "/v1/models/t%69ny"))), model);
  EXPECT_EQ(json::parse(body_of(http_get(port(), "/v1/models/tiny"))), list["data"][0]);
  EXPECT_EQ(status_of(http_get(port(), "/v1/models/huge")), 404);
}

TEST_F(OpenAiTest, AnswersByAnyNameOfItsModel) {
  for (const json& name : {json("tiny"), json("checkpoint"), json(""), json(nullptr)}) {
    json body = question(1);
    body["model"] = name;
    EXPECT_EQ(answer(body)["model"], "tiny") << name;
  }
  json body = question(1);
  body.erase("model");
  EXPECT_EQ(answer(body)["model"], "tiny");
}

TEST_F(OpenAiTest, AnswersAsAWhole) {
  const json response = answer(question(7));
  EXPECT_EQ(response["object"], "chat.completion");
  EXPECT_EQ(response["model"], "tiny");
  EXPECT_TRUE(response["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_GT(response["created"], 1'700'000'000);
  ASSERT_EQ(response["choices"].size(), 1U);
  const json& choice = response["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_FALSE(choice["message"]["content"].get<std::string>().empty());
  EXPECT_EQ(choice["finish_reason"], "length");
  const json& usage = response["usage"];
  EXPECT_EQ(usage["completion_tokens"], 7);
  EXPECT_GT(usage["prompt_tokens"], 16);
  EXPECT_EQ(usage["total_tokens"], usage["prompt_tokens"].get<int>() + 7);
}

TEST_F(OpenAiTest, StreamsTheSameAnswer) {
  json body = question(12);
  const std::string whole = answer(body)["choices"][0]["message"]["content"];
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const std::string response = post(body);
  EXPECT_EQ(status_of(response), 200);
  EXPECT_NE(response.find("\r\nContent-Type: text/event-stream"), std::string::npos);
  const std::vector<json> chunks = events(response);
  ASSERT_GE(chunks.size(), 4U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  std::string streamed;
  for (std::size_t i = 0; i + 1 < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(chunks[i]["id"], chunks[0]["id"]);
    EXPECT_TRUE(chunks[i]["usage"].is_null());
    const json& choice = chunks[i]["choices"][0];
    streamed += choice["delta"].value("content", "");
    const bool last = i + 2 == chunks.size();
    EXPECT_EQ(choice["finish_reason"], last ? json("length") : json());
  }
  EXPECT_EQ(streamed, whole);
  EXPECT_TRUE(chunks.back()["choices"].empty());
  EXPECT_EQ(chunks.back()["usage"]["completion_tokens"], 12);
}

TEST_F(OpenAiTest, StopsBeforeAWord) {
  json body = question(40);
  const std::string whole = answer(body)["choices"][0]["message"]["content"];
  const std::string word = whole.substr(whole.size() / 2, 3);
  body["stop"] = {"never said", word};
  const json stopped = answer(body);
  EXPECT_EQ(stopped["choices"][0]["message"]["content"], whole.substr(0, whole.find(word)));
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  // As vLLM counts: the tokens up to the one that completes the stop string, no more.
  json cut = body;
  cut.erase("stop");
  cut["max_tokens"] = stopped["usage"]["completion_tokens"];
  const std::string said = answer(cut)["choices"][0]["message"]["content"];
  EXPECT_NE(said.find(word), said.npos) << said;
  cut["max_tokens"] = cut["max_tokens"].get<int>() - 1;
  const std::string before = answer(cut)["choices"][0]["message"]["content"];
  EXPECT_EQ(before.find(word), before.npos) << before;
  body["stream"] = true;
  std::string streamed;
  for (const json& chunk : events(post(body))) {
    streamed += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(streamed, whole.substr(0, whole.find(word)));
}

// Says a request's number when much of its answer is there, as on a machine with other work.
class LateEngine final : public OtherEngine {
 public:
  using OtherEngine::OtherEngine;
  RequestId submit(Request request) override {
    const RequestId id = OtherEngine::submit(std::move(request));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return id;
  }
};

TEST_F(OpenAiTest, AWordStopsAnAnswerThatRunsAheadOfItsNumber) {
  json body = question(40);
  const std::string whole = answer(body)["choices"][0]["message"]["content"];
  body["stop"] = whole.substr(whole.size() / 2, 3);
  const json usage = answer(body)["usage"];
  stop();
  LateEngine late(*engine_);
  start(late, {.chat = {.model = "tiny"}});
  EXPECT_EQ(answer(body)["usage"]["completion_tokens"], usage["completion_tokens"]);
  stop();  // before the engine goes
}

TEST_F(OpenAiTest, TakesSeveralTurnsAndASystemTurn) {
  json body = question(5);
  const std::string alone = answer(body)["choices"][0]["message"]["content"];
  body["messages"].push_back({{"role", "assistant"}, {"content", alone}});
  body["messages"].push_back({{"role", "user"}, {"content", "Are you sure?"}});
  const json second = answer(body);
  EXPECT_GT(second["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  body["messages"].insert(body["messages"].begin(),
                          json{{"role", "system"}, {"content", "Answer like a pirate."}});
  EXPECT_NE(answer(body)["usage"]["prompt_tokens"], second["usage"]["prompt_tokens"]);
}

TEST_F(OpenAiTest, SeedsRepeat) {
  json body = question(20);
  body["temperature"] = 1.5;
  body["seed"] = 11;
  const auto content = [&] { return answer(body)["choices"][0]["message"]["content"]; };
  const json first = content();
  EXPECT_EQ(content(), first);
  body["seed"] = 12;
  EXPECT_NE(content(), first);
}

TEST_F(OpenAiTest, ATextIsText) {
  const auto prompt_tokens = [&](const std::string& text) -> int {
    return answer(
        {{"model", "tiny"},
         {"max_tokens", 1},
         {"messages", {{{"role", "user"}, {"content", text}}}}})["usage"]["prompt_tokens"];
  };
  const int none = prompt_tokens("");
  EXPECT_EQ(prompt_tokens("a"), none + 1);
  EXPECT_GT(prompt_tokens("<|im_end|>"), none + 1) << "one token would be the control token";
  EXPECT_GT(prompt_tokens("What does the <image> tag do in SVG?"), none + 5);
  // In a turn before one with a picture, and beside the picture.
  json body = question(4);
  const int asked = answer(body)["usage"]["prompt_tokens"];
  body["messages"][0]["content"].push_back(text_part("Not <image>, <image> or <image>."));
  EXPECT_GT(answer(body)["usage"]["prompt_tokens"], asked);
  body["messages"].insert(
      body["messages"].begin(),
      {{{"role", "user"}, {"content", "<image>?"}}, {{"role", "assistant"}, {"content", "a tag"}}});
  answer(body);
}

TEST_F(OpenAiTest, LooksAtAsManyPicturesAsTheContextHolds) {
  const std::int64_t each = engine_->info().image_tokens;
  const std::int64_t most = engine_->info().context_tokens / each;
  const auto with_images = [](std::int64_t images) {
    json body = question(1);
    json& content = body["messages"][0]["content"];
    for (std::int64_t i = 1; i < images; ++i) {
      content.push_back(text_part("And " + std::to_string(i) + "?"));
      content.push_back(image_part());
    }
    return body;
  };
  const std::int64_t many = 20;
  ASSERT_LT(many, most);
  EXPECT_GT(answer(with_images(many))["usage"]["prompt_tokens"], many * each);
  json body = question(1);
  body["messages"].insert(body["messages"].begin(), static_cast<std::size_t>(most),
                          {{"role", "user"}, {"content", json::array({image_part()})}});
  const json error = answer(body, 400)["error"];
  EXPECT_EQ(error["param"], "messages");
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_NE(error["message"].get<std::string>().find("do not fit into a context"),
            std::string::npos)
      << error;
}

TEST_F(OpenAiTest, APromptBeyondTheContextHasACodeThatClientsKnow) {
  json body = question(1);
  body["messages"][0]["content"][0]["text"] = std::string(200'000, '7');
  EXPECT_EQ(answer(body, 400)["error"]["code"], "context_length_exceeded");
  body["messages"][0]["content"][0]["text"] =
      std::string(static_cast<std::size_t>(engine_->info().context_tokens), '7');
  EXPECT_EQ(answer(body, 400)["error"]["code"], "context_length_exceeded");
}

TEST_F(OpenAiTest, NamesWhatIsWrong) {
  const auto expect = [&](json change, int status, const std::string& param,
                          const std::string& part) {
    json body = question(4);
    body.merge_patch(change);
    const json error = answer(body, status)["error"];
    EXPECT_EQ(error["param"], param.empty() ? json() : json(param)) << error;
    EXPECT_NE(error["message"].get<std::string>().find(part), std::string::npos) << error;
    EXPECT_EQ(error["type"], "invalid_request_error");
  };
  const auto user = [](const json& content) {
    return json{{"messages", {{{"role", "user"}, {"content", content}}}}};
  };
  const auto image = [&](const std::string& url) {
    return user(json::array({{{"type", "image_url"}, {"image_url", {{"url", url}}}}}));
  };
  const std::string url = "messages[0].content[0].image_url.url";
  expect({{"model", 7}}, 400, "model", "\"model\"");
  expect({{"model", "huge"}}, 404, "model", "only \"tiny\"");
  expect({{"messages", json::array()}}, 400, "messages", "array");
  expect({{"messages", {{{"role", "robot"}, {"content", "hi"}}}}}, 400, "messages[0].role", "user");
  expect({{"messages", {{{"role", "system"}, {"content", "hi"}}}}}, 400, "messages", "user");
  expect(user(7), 400, "messages[0].content", "parts");
  expect(user(json::array({{{"type", "audio"}}})), 400, "messages[0].content[0].type", "text");
  expect(image("http://127.0.0.1/a.jpg"), 400, url, "fetches no URLs");
  expect(image("file:///etc/passwd"), 400, url, "fetches no URLs");
  expect(image("data:image/png,abc"), 400, url, "base64");
  expect(image("data:image/png;base64,****"), 400, url, "Base64");
  expect(image("data:image/png;base64,"), 400, url, "empty");
  expect(image("data:image/png;base64,aGFsbG8="), 400, "messages", "the picture");
  const json broken = {{"type", "image_url"},
                       {"image_url", {{"url", "data:image/png;base64,aGFsbG8="}}}};
  expect(user({image_part(), broken, image_part()}), 400, "messages", "image 2 of 3");
  expect({{"temperature", "hot"}}, 400, "temperature", "number");
  expect({{"temperature", -1}}, 400, "temperature", "temperature");
  expect({{"max_tokens", 0}}, 400, "max_tokens", "above 0");
  expect({{"max_completion_tokens", 1.5}}, 400, "max_completion_tokens", "whole number");
  expect({{"n", 9}}, 400, "n", "from 1 to 8");
  expect({{"max_tokens", 1901}}, 400, "max_tokens", "--max_new_tokens");
  expect({{"logit_bias", {{"999999", 1}}}}, 400, "logit_bias", "999999");
  expect({{"tools", {{{"type", "function"}}}}}, 400, "tools[0]", "\"function\"");
  expect({{"response_format", {{"type", "json"}}}}, 400, "response_format.type", "json_object");
  expect({{"stop", std::vector<std::string>(65, "a")}}, 400, "stop", "64");
  expect({{"stream", "yes"}}, 400, "stream", "true or false");
  // Asking for nothing special is fine.
  answer([] {
    json body = question(2);
    body.merge_patch({{"n", 1},
                      {"frequency_penalty", 0},
                      {"tools", json::array()},
                      {"response_format", {{"type", "text"}}},
                      {"user", "somebody"}});
    return body;
  }());
}

TEST_F(OpenAiTest, WrongRequestsHaveTheirCodes) {
  const auto error = [](const std::string& response, int status) {
    EXPECT_EQ(status_of(response), status);
    return json::parse(body_of(response), nullptr, false)["error"];
  };
  EXPECT_TRUE(error(http(port(), post_request("{")), 400)["message"].is_string());
  EXPECT_TRUE(error(http(port(), post_request(std::string(1 << 20, '['))), 400).is_object());
  EXPECT_EQ(error(http_get(port(), "/v1/chat/completions"), 405)["code"], "method_not_allowed");
  EXPECT_EQ(error(http_get(port(), "/v1/embeddings"), 404)["code"], "not_found");
  // Too large is known from the head.
  const json too_large = error(http(port(),
                                    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                                    "Content-Length: 40000000\r\n\r\n"),
                               413);
  EXPECT_NE(too_large["message"].get<std::string>().find("--max-body-size"), std::string::npos);
  EXPECT_TRUE(error(http(port(), "no request\r\n\r\n"), 400)["message"].is_string());
}

class OpenAiPromises : public OpenAiTest {};

TEST_F(OpenAiPromises, CancelsWhenTheClientLeaves) {
  stop();
  start_slow({.chat = {.model = "tiny", .max_new_tokens = 1900}});
  for (const bool stream : {false, true}) {
    RawSocket client(port());
    json body = question(1900);
    body["stream"] = stream;
    client.send(post_request(body.dump()));
    await_metric("fastvlm_requests_running 1\n");
    if (stream) client.read_until("data: ");
    client.reset();
    const auto left = std::chrono::steady_clock::now();
    await_metric("fastvlm_requests_running 0\n");
    EXPECT_LT(std::chrono::steady_clock::now() - left, std::chrono::milliseconds(250));
  }
  await_metric("fastvlm_chats_total{outcome=\"abandoned\",route=\"/v1/chat/completions\"} 2\n");
}

class RefusingServerTest : public ServerTest {};

TEST_F(RefusingServerTest, MoreThanItTakesAtATime) {
  start({.chat = {.model = "tiny", .max_chats = 0}});
  const std::string body = question(1).dump();
  const std::string response =
      http(port(), "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(status_of(response), 429);
  EXPECT_NE(response.find("Retry-After: 1"), std::string::npos);
  EXPECT_EQ(json::parse(body_of(response))["error"]["type"], "rate_limit_error");
}

TEST_F(RefusingServerTest, ProgramsWithoutTheKey) {
  start({.access = {.key = "secret"}});
  const std::string response = http_get(port(), "/v1/models");
  EXPECT_EQ(status_of(response), 401);
  EXPECT_EQ(json::parse(body_of(response))["error"]["code"], "invalid_api_key");
  EXPECT_EQ(status_of(http_get(port(), "/v1/models", "Authorization: Bearer secret\r\n")), 200);
}

TEST_F(RefusingServerTest, PagesThatAreNotOnTheList) {
  start({.chat = {.model = "tiny"},
         .access = {.key = "secret", .allowed_origins = {"https://a.example"}}});
  const std::string key = "Authorization: Bearer secret\r\n";
  const std::string allowed = "\r\nAccess-Control-Allow-Origin: https://a.example\r\n";
  const std::string origin = "Origin: https://a.example\r\n";
  const std::string asked = http(
      port(), "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + origin + "\r\n");
  EXPECT_EQ(status_of(asked), 204);
  EXPECT_NE(asked.find(allowed), std::string::npos);
  EXPECT_NE(asked.find("\r\nAccess-Control-Allow-Headers: Authorization"), std::string::npos);
  for (const bool stream : {false, true}) {
    json body = question(1);
    body["stream"] = stream;
    const std::string text = body.dump();
    const std::string answered =
        http(port(), "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + origin + key +
                         "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text);
    EXPECT_EQ(status_of(answered), 200);
    EXPECT_NE(answered.find(allowed), std::string::npos);
  }
  EXPECT_EQ(status_of(http_get(port(), "/v1/models", key + "Origin: https://b.example\r\n")), 403);
  EXPECT_EQ(status_of(http_get(port(), "/v1/models", origin)), 401);
}

TEST_F(RefusingServerTest, AnswersThatTakeTooLong) {
  HangingEngine engine;
  start(engine, {.transport = {.response_timeout = std::chrono::milliseconds(30)},
                 .chat = {.model = "tiny"}});
  const std::string body = question(8).dump();
  http(port(), "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n\r\n" + body);  // ends, without an answer
  await_metric("fastvlm_chats_total{outcome=\"abandoned\",route=\"/v1/chat/completions\"} 1\n");
  stop();  // before the engine goes
}

TEST(StopFilter, HoldsBackWhatMightBecomeAWord) {
  net::StopFilter filter({"END", "\n\n"});
  EXPECT_EQ(filter.add("one\n"), "one");
  EXPECT_EQ(filter.add("two E"), "\ntwo ");
  EXPECT_EQ(filter.add("N"), "");
  EXPECT_EQ(filter.add("ter"), "ENter");
  EXPECT_EQ(filter.add("three EN"), "three ");
  EXPECT_EQ(filter.add("D four"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.finish(), "");
  // The first that is whole ends it, however the text is cut.
  for (const std::size_t size : {1U, 2U, 9U}) {
    net::StopFilter overlapping({"abcd", "bc", "cab"});
    const std::string text = "xababcdef";
    std::string said;
    for (std::size_t i = 0; i < text.size(); i += size)
      said += overlapping.add(text.substr(i, size));
    EXPECT_EQ(said, "xaba");
    EXPECT_TRUE(overlapping.stopped());
  }
  net::StopFilter other({"END"});
  EXPECT_EQ(other.add("the EN"), "the ");
  EXPECT_EQ(other.finish(), "EN");
}

}  // namespace
}  // namespace fvlm
