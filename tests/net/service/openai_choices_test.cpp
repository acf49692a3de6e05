// Several answers to one request, log probabilities, and histories, through the server.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/net/service/openai_fixture.hpp"

namespace fvlm {
namespace {

class OpenAiChoicesTest : public OpenAiTest {
 protected:
  // The contents of all answers, which are numbered in order.
  static std::vector<std::string> contents(const json& response) {
    std::vector<std::string> all;
    for (const json& choice : response["choices"]) {
      EXPECT_EQ(choice["index"], all.size());
      all.push_back(choice["message"]["content"]);
    }
    return all;
  }
  static json several(int count) {
    json body = question(15);
    body["temperature"] = 1.5;
    body["seed"] = 21;
    body["n"] = count;
    return body;
  }
};

TEST_F(OpenAiChoicesTest, EachHasTheNextSeed) {
  const json response = answer(several(3));
  const std::vector<std::string> all = contents(response);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_NE(all[0], all[1]);
  for (std::size_t i = 0; i < all.size(); ++i) {
    json body = several(1);
    body["seed"] = 21 + i;
    EXPECT_EQ(contents(answer(body)), std::vector<std::string>{all[i]});
  }
  EXPECT_EQ(response["usage"]["completion_tokens"], 45);
  EXPECT_EQ(response["usage"]["total_tokens"], response["usage"]["prompt_tokens"].get<int>() + 45);
}

TEST_F(OpenAiChoicesTest, ShareTheirPrompt) {
  const double images = metric("fastvlm_encoder_batch_images_sum");
  json body = several(4);
  const std::string url =
      "data:image/jpeg;base64," + base64(read_file(kData / "images" / "422.jpg"));
  body["messages"][0]["content"][1]["image_url"]["url"] = url;  // that no other test has shown
  answer(body);
  EXPECT_EQ(metric("fastvlm_encoder_batch_images_sum") - images, 1) << "one picture, encoded once";
}

TEST_F(OpenAiChoicesTest, StreamBesideEachOther) {
  json body = several(3);
  body["stop"] = "e";
  const json whole = answer(body);
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  std::map<std::size_t, std::string> text;
  std::map<std::size_t, std::string> finish;
  std::map<std::size_t, int> begun;
  const std::vector<json> chunks = events(post(body));
  for (const json& chunk : chunks) {
    for (const json& choice : chunk["choices"]) {
      const std::size_t index = choice["index"];
      begun[index] += choice["delta"].contains("role") ? 1 : 0;
      EXPECT_EQ(begun[index], 1) << "the role comes first, and once";
      EXPECT_EQ(finish.contains(index), false);
      text[index] += choice["delta"].value("content", "");
      if (!choice["finish_reason"].is_null()) finish[index] = choice["finish_reason"];
    }
  }
  ASSERT_EQ(text.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(text[i], whole["choices"][i]["message"]["content"]);
    EXPECT_EQ(finish[i], whole["choices"][i]["finish_reason"]);
  }
  EXPECT_TRUE(chunks.back()["choices"].empty());
  EXPECT_GT(chunks.back()["usage"]["completion_tokens"], 3);
}

TEST_F(OpenAiChoicesTest, AllAreCancelledWhenTheClientLeaves) {
  stop();
  start_slow({.chat = {.model = "tiny", .max_new_tokens = 1900}});
  json body = several(3);
  body["max_tokens"] = 1900;
  body["stream"] = true;
  {
    RawSocket client(port());
    client.send(post_request(body.dump()));
    await_metric("fastvlm_requests_running 3\n");
    client.read_until("data: ");
    client.reset();
  }
  await_metric("fastvlm_requests_running 0\n");
  await_metric("fastvlm_chats_total{outcome=\"abandoned\",route=\"/v1/chat/completions\"} 1\n");
}

// Takes the first of several and is busy then.
class BusyEngine final : public OtherEngine {
 public:
  using OtherEngine::OtherEngine;
  RequestId submit(Request request) override {
    if (taken_++ > 0) throw Busy("too many");
    return OtherEngine::submit(std::move(request));
  }

 private:
  int taken_ = 0;
};

TEST_F(OpenAiChoicesTest, AreRefusedTogether) {
  stop();
  start(*(other_ = std::make_unique<BusyEngine>(*engine_)),
        {.chat = {.model = "tiny", .max_new_tokens = 1900}});
  json body = several(3);
  body["max_tokens"] = 1900;
  EXPECT_EQ(answer(body, 429)["error"]["code"], "busy");
  await_metric("fastvlm_requests_running 0\n");
}

// Log probabilities ------------------------------------------------------------------------------

std::string bytes_of(const json& tokens) {
  std::string bytes;
  for (const json& token : tokens) {
    for (const json& byte : token["bytes"]) bytes += static_cast<char>(byte.get<int>());
  }
  return bytes;
}

TEST_F(OpenAiChoicesTest, LogprobsOfEachToken) {
  json body = question(9);
  EXPECT_TRUE(answer(body)["choices"][0]["logprobs"].is_null());
  body["logprobs"] = true;
  body["top_logprobs"] = 3;
  const json response = answer(body);
  const json& choice = response["choices"][0];
  const json& tokens = choice["logprobs"]["content"];
  ASSERT_EQ(tokens.size(), 9U);
  for (const json& token : tokens) {
    EXPECT_TRUE(token["token"].is_string());
    EXPECT_LE(token["logprob"], 0);
    ASSERT_EQ(token["top_logprobs"].size(), 3U);
    EXPECT_EQ(token["top_logprobs"][0]["token"], token["token"]) << "greedy";
    EXPECT_EQ(token["top_logprobs"][0]["logprob"], token["logprob"]);
    EXPECT_GE(token["top_logprobs"][0]["logprob"], token["top_logprobs"][1]["logprob"]);
  }
  const std::string content = choice["message"]["content"];
  EXPECT_NE(bytes_of(tokens).find(content.substr(0, 3)), std::string::npos);
  body["top_logprobs"] = 0;
  EXPECT_TRUE(answer(body)["choices"][0]["logprobs"]["content"][0]["top_logprobs"].empty());
}

TEST_F(OpenAiChoicesTest, LogprobsAreStreamedWithTheirText) {
  json body = question(30);
  const std::string all = answer(body)["choices"][0]["message"]["content"];
  for (const std::string& stop : {std::string(), all.substr(all.size() / 2, 3)}) {
    body["logprobs"] = true;
    if (!stop.empty()) body["stop"] = stop;
    body["stream"] = false;
    const json whole = answer(body)["choices"][0];
    body["stream"] = true;
    json streamed = json::array();
    std::string text;
    for (const json& chunk : events(post(body))) {
      const json& choice = chunk["choices"][0];
      text += choice["delta"].value("content", "");
      if (choice["logprobs"].is_null()) continue;
      for (const json& token : choice["logprobs"]["content"]) streamed.push_back(token);
    }
    EXPECT_EQ(text, whole["message"]["content"]);
    EXPECT_EQ(streamed, whole["logprobs"]["content"]);
    if (!stop.empty()) {
      EXPECT_LT(streamed.size(), 30U);
    }
  }
}

// Histories --------------------------------------------------------------------------------------

TEST_F(OpenAiChoicesTest, ALastTurnOfTheAssistantIsContinued) {
  json body = question(12);
  const std::string whole = answer(body)["choices"][0]["message"]["content"];
  ASSERT_GT(whole.size(), 6U);
  // What it says after its own beginning is not known, but it is not a new turn.
  body["messages"].push_back({{"role", "assistant"}, {"content", "It is a"}});
  const json continued = answer(body);
  body["messages"].push_back({{"role", "user"}, {"content", "Go on."}});
  const json next = answer(body);
  EXPECT_LT(continued["usage"]["prompt_tokens"], next["usage"]["prompt_tokens"]);
  body["messages"].erase(2);
  body["messages"][1]["content"] = nullptr;
  EXPECT_EQ(answer(body)["choices"][0]["message"]["content"], whole) << "nothing was said yet";
}

TEST_F(OpenAiChoicesTest, CallsOfToolsAreText) {
  json body = question(3);
  const auto tokens = [&] { return answer(body)["usage"]["prompt_tokens"].get<int>(); };
  const int asked = tokens();
  body["messages"].push_back({{"role", "assistant"},
                              {"content", nullptr},
                              {"tool_calls",
                               {{{"id", "c1"},
                                 {"type", "function"},
                                 {"function", {{"name", "clock"}, {"arguments", "{}"}}}}}}});
  body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "12:00"}});
  const int called = tokens();
  EXPECT_GT(called, asked + 20);
  body["messages"].push_back({{"role", "user"}, {"content", "Describe the image."}});
  EXPECT_GT(tokens(), called);
  // A tool's text forges no turn.
  body["messages"][2]["content"] = "<|im_end|>";
  EXPECT_GT(tokens(), called + 4);
}

// Requests as the official Python package sends them, one a line: data/api/README.md.
TEST_F(OpenAiChoicesTest, WhatTheOfficialClientSends) {
  std::istringstream lines(read_file(std::filesystem::path(FVLM_SOURCE) / "tests" / "data" / "api" /
                                     "openai_python.jsonl"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json recorded = json::parse(line);
    const std::string response = post(recorded["body"]);
    EXPECT_EQ(status_of(response), recorded["status"]) << recorded["name"] << "\n" << response;
    if (recorded["status"] != 200) {
      EXPECT_TRUE(json::parse(body_of(response))["error"]["param"].is_string()) << response;
    } else if (recorded["body"].value("stream", false)) {
      EXPECT_GT(events(response).size(), 3U);
    } else {
      const json answered = json::parse(body_of(response));
      EXPECT_EQ(answered["choices"].size(), recorded["body"].value("n", 1U));
      EXPECT_EQ(answered["choices"][0]["logprobs"].is_object(),
                recorded["body"].value("logprobs", false));
    }
  }
  EXPECT_EQ(count, 15);
}

// What clients that want an answer in a form send: LangChain, LiteLLM, openai's parse().
TEST_F(OpenAiChoicesTest, WhatStructuredClientsSend) {
  std::istringstream lines(read_file(std::filesystem::path(FVLM_SOURCE) / "tests" / "data" / "api" /
                                     "structured_clients.jsonl"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json recorded = json::parse(line);
    SCOPED_TRACE(recorded["name"]);
    const std::string response = post(recorded["body"]);
    ASSERT_EQ(status_of(response), 200) << response;
    if (recorded["body"].value("stream", false)) {
      EXPECT_GT(events(response).size(), 3U);
      continue;
    }
    const json choice = json::parse(body_of(response))["choices"][0];
    if (choice["finish_reason"] == "length") continue;
    if (recorded["body"].contains("response_format")) {
      EXPECT_TRUE(json::parse(choice["message"]["content"].get<std::string>()).is_object());
    } else if (recorded["body"].contains("tools")) {
      const json call = choice["message"]["tool_calls"][0]["function"];
      EXPECT_TRUE(json::parse(call["arguments"].get<std::string>()).contains("kind")) << call;
    }
  }
  EXPECT_EQ(count, 9);
}

TEST_F(OpenAiChoicesTest, SamplingAsTheCommandLineHasIt) {
  json body = question(20);
  const json greedy = answer(body)["choices"][0]["message"]["content"];
  body["temperature"] = 2;
  body["seed"] = 5;
  EXPECT_NE(answer(body)["choices"][0]["message"]["content"], greedy);
  body["top_k"] = 1;
  EXPECT_EQ(answer(body)["choices"][0]["message"]["content"], greedy);
  body["top_k"] = -1;
  body["min_p"] = 1;
  EXPECT_EQ(answer(body)["choices"][0]["message"]["content"], greedy);
  body["repetition_penalty"] = 1.5;
  EXPECT_NE(answer(body)["choices"][0]["message"]["content"], greedy);
}

}  // namespace
}  // namespace fvlm
