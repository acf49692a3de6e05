// Ollama's API, whole and streamed, as its clients see it; and what clients of it send, replayed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "net/api/ollama_answer.hpp"
#include "tests/net/service/openai_fixture.hpp"

namespace fvlm {
namespace {

class OllamaTest : public ServerTest {
 protected:
  OllamaTest() { start({.chat = {.model = "tiny", .max_new_tokens = 40}}); }

  std::string post(const std::string& path, const std::string& body) const {
    return http(port(), "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                            std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  json answer(const std::string& path, const json& body, int status = 200) const {
    const std::string response = post(path, body.dump());
    EXPECT_EQ(status_of(response), status) << response;
    return json::parse(body_of(response), nullptr, false);
  }
  std::string refused(const std::string& path, const json& body, int status = 400) const {
    const json error = answer(path, body, status);
    EXPECT_EQ(error.size(), 1U) << error;
    return error.value("error", "");
  }
  static std::vector<json> lines(const std::string& response) {
    EXPECT_NE(response.find("\r\nContent-Type: application/x-ndjson"), std::string::npos);
    std::vector<json> all;
    std::string_view rest = body_of(response);
    for (std::size_t end = 0; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      all.push_back(json::parse(rest.substr(0, end)));
    }
    EXPECT_EQ(rest, "");
    return all;
  }
  static json question() {
    return {{"model", "tiny:latest"},
            {"stream", false},
            {"options", {{"temperature", 0}, {"num_predict", 12}}},
            {"messages",
             {{{"role", "user"}, {"content", "What is it?"}, {"images", {base64(jpeg())}}}}}};
  }
};

TEST_F(OllamaTest, NamesItsModel) {
  const json tags = json::parse(body_of(http_get(port(), "/api/tags")));
  ASSERT_EQ(tags["models"].size(), 1U);
  EXPECT_EQ(tags["models"][0]["name"], "tiny:latest");
  EXPECT_EQ(tags["models"][0]["digest"].get<std::string>().size(), 64U);
  const json running = json::parse(body_of(http_get(port(), "/api/ps")));
  EXPECT_EQ(running["models"][0]["context_length"], engine_->info().context_tokens);
  EXPECT_TRUE(json::parse(body_of(http_get(port(), "/api/version")))["version"].is_string());
  for (const char* name : {"tiny", "tiny:latest", "checkpoint"}) {
    const json model = answer("/api/show", {{"model", name}});
    EXPECT_EQ(model["capabilities"], json({"completion", "vision", "tools"}));
  }
  EXPECT_EQ(refused("/api/show", {{"model", "huge"}}, 404),
            "there is no model \"huge\" here, only \"tiny\"");
  EXPECT_EQ(status_of(post("/api/tags", "{}")), 405);
  EXPECT_EQ(refused("/api/pull", {{"model", "tiny"}}, 404).substr(0, 34),
            "there is nothing at /api/pull, onl");
  const std::string size = tags["models"][0]["details"]["parameter_size"];
  EXPECT_EQ(size, fmt::format("{:.2f}M", static_cast<double>(engine_->info().parameters) / 1e6));
  EXPECT_EQ(answer("/api/show", {{"model", "tiny"}})["details"]["parameter_size"], size);
}

TEST_F(OllamaTest, AnswersAsOpenAisApiDoes) {
  const json whole = answer("/api/chat", question());
  EXPECT_EQ(whole["message"]["role"], "assistant");
  EXPECT_EQ(whole["done"], true);
  EXPECT_EQ(whole["done_reason"], "length");
  EXPECT_EQ(whole["eval_count"], 12);
  EXPECT_GT(whole["prompt_eval_count"], 16);
  EXPECT_GT(whole["prompt_eval_duration"], 0);
  EXPECT_GE(whole["total_duration"], whole["eval_duration"]);
  const std::string created = whole["created_at"];
  EXPECT_EQ(created.size(), std::string("2026-01-01T00:00:00.123456789Z").size()) << created;

  json chat = fvlm::question(12);
  const std::string body = chat.dump();
  const json same = json::parse(body_of(post("/v1/chat/completions", body)));
  EXPECT_EQ(same["choices"][0]["message"]["content"], whole["message"]["content"]);

  const json generated = answer("/api/generate", {{"stream", false},
                                                  {"options", question()["options"]},
                                                  {"prompt", "What is it?"},
                                                  {"images", {base64(jpeg())}}});
  EXPECT_EQ(generated["response"], whole["message"]["content"]);
}

TEST_F(OllamaTest, StreamsUnlessItIsAskedNotTo) {
  json body = question();
  const json whole = answer("/api/chat", body);
  body.erase("stream");
  const std::vector<json> all = lines(post("/api/chat", body.dump()));
  ASSERT_GE(all.size(), 3U);
  std::string said;
  for (const json& line : all) {
    said += line["message"]["content"];
    EXPECT_EQ(line["done"], &line == &all.back());
    EXPECT_EQ(line.contains("done_reason"), &line == &all.back());
  }
  EXPECT_EQ(said, whole["message"]["content"]);
  EXPECT_EQ(all.back()["eval_count"], 12);
}

// Its arguments would be no object: only the reason tells.
TEST_F(OllamaTest, ACallThatIsCutOffIsNotThere) {
  const auto writer = net::write_ollama({.is_chat = true});
  const net::ToolCall cut{.name = "look", .arguments = "{\"at\": ", .is_whole = false};
  const net::AnswerChoice choice{.end = net::AnswerEnd::kLength, .call = &cut};
  const json whole = json::parse(writer->whole(std::span(&choice, 1), {}));
  EXPECT_EQ(whole["message"], json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(whole["done_reason"], "length");
  EXPECT_EQ(writer->end_of(0, choice), "");
  const net::ToolCall called{.name = "look", .arguments = "{\"at\": 1}"};
  const net::AnswerChoice call{.end = net::AnswerEnd::kToolCall, .call = &called};
  EXPECT_EQ(json::parse(writer->end_of(0, call))["message"]["tool_calls"][0]["function"]["name"],
            "look");
}

TEST_F(OllamaTest, WithoutAPromptThereIsNothingToAnswer) {
  for (const char* path : {"/api/chat", "/api/generate"}) {
    EXPECT_EQ(answer(path, {{"model", "tiny"}, {"stream", false}})["done_reason"], "load");
    const std::vector<json> all =
        lines(post(path, json({{"model", "tiny"}, {"keep_alive", 0}}).dump()));
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0]["done_reason"], "unload");
  }
}

TEST_F(OllamaTest, ARawPromptIsTheWholePrompt) {
  const std::string raw =
      "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
      "Hi<|im_end|>\n<|im_start|>assistant\n";
  const json options = {{"temperature", 0}, {"num_predict", 8}};
  const json by_hand = answer(
      "/api/generate", {{"prompt", raw}, {"raw", true}, {"stream", false}, {"options", options}});
  const json by_template =
      answer("/api/generate", {{"prompt", "Hi"}, {"stream", false}, {"options", options}});
  EXPECT_EQ(by_hand["prompt_eval_count"], by_template["prompt_eval_count"]);
  // A raw prompt keeps the white space with which its continuation begins.
  const std::string text = by_hand["response"];
  EXPECT_TRUE(text.ends_with(by_template["response"].get<std::string>())) << text;
}

TEST_F(OllamaTest, AFormHoldsForTheAnswer) {
  json body = question();
  body["options"] = {{"temperature", 1.5}, {"seed", 3}};
  body["format"] = {{"enum", {"red", "green"}}};
  const std::string colour = answer("/api/chat", body)["message"]["content"];
  EXPECT_TRUE(colour == "\"red\"" || colour == "\"green\"") << colour;
}

TEST(OllamaAnswer, ACallHasItsArgumentsAsAnObject) {
  const net::ToolCall call{.name = "look", .arguments = R"({"at":"sky"})"};
  const net::AnswerChoice choice{.end = net::AnswerEnd::kToolCall, .call = &call};
  const auto writer = net::write_ollama({.is_chat = true});
  for (const std::string& text : {writer->whole({&choice, 1}, {}), writer->end_of(0, choice)}) {
    const json message = json::parse(text)["message"];
    EXPECT_EQ(message["content"], "");
    ASSERT_EQ(message["tool_calls"].size(), 1U);
    EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "look");
    EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], json({{"at", "sky"}}));
  }
  EXPECT_EQ(json::parse(writer->last({}))["done_reason"], "stop");
}

TEST_F(OllamaTest, FailuresHaveTheShapeOfItsApi) {
  json body = question();
  body["options"]["mirostat"] = 1;
  EXPECT_EQ(refused("/api/chat", body),
            "options.mirostat: \"mirostat\" is not supported here, except 0");
  body = question();
  body["messages"][0]["images"] = {"no Base64!"};
  EXPECT_EQ(refused("/api/chat", body), "messages[0].images[0]: must be an image in Base64");
  EXPECT_EQ(refused("/api/chat", {{"messages", 1}}), "\"messages\" must be an array of up to 8192");
  body["messages"][0]["images"] = {base64("no picture")};
  EXPECT_NE(refused("/api/chat", body), "");
  EXPECT_NE(refused("/api/chat", "no object"), "");
  EXPECT_EQ(refused("/api/chat", {{"model", "huge"}, {"messages", question()["messages"]}}, 404),
            "there is no model \"huge\" here, only \"tiny\"");
  EXPECT_EQ(status_of(http_get(port(), "/api/chat")), 405);
}

TEST_F(OllamaTest, MetricsKnowItsRoutes) {
  answer("/api/chat", question());
  EXPECT_NE(http_get(port(), "/metrics")
                .find("fastvlm_http_requests_total{route=\"/api/chat\",code=\"200\",key=\"\"} 1"),
            std::string::npos);
}

TEST_F(ServerTest, OllamasStreamsThatAreCutSayWhy) {
  start_endless({});
  const std::string body = R"({"prompt": "Hi"})";
  RawSocket stream(port());
  stream.send("POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  stream.read_until("token");
  server_->drain(std::chrono::milliseconds(50));
  EXPECT_NE(stream.read_all().find("{\"error\":\"the server is stopping\"}\n"), std::string::npos);
}

TEST_F(ServerTest, OllamasClientsNeedTheKeyToo) {
  start({.access = {.key = "key"}});
  const std::string response = http_get(port(), "/api/tags");
  EXPECT_EQ(status_of(response), 401);
  EXPECT_TRUE(json::parse(body_of(response))["error"].is_string()) << response;
  EXPECT_EQ(status_of(http_get(port(), "/api/tags", "Authorization: Bearer key\r\n")), 200);
}

// tests/data/ollama_clients: NAME.PATH.json.
TEST_F(ServerTest, OllamasClientsAreAnswered) {
  start({.chat = {.model = "fastvlm", .max_new_tokens = 40}});
  const std::string picture = base64(jpeg());
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(FVLM_SOURCE) /
                                                               "tests/data/ollama_clients")) {
    SCOPED_TRACE(entry.path().filename());
    std::string body = read_file(entry.path());
    const bool stream = json::parse(body)["stream"];
    for (std::size_t at = 0; (at = body.find("\"JPEG\"", at)) != body.npos;) {
      body.replace(at + 1, 4, picture);
    }
    const std::string path = "/api/" + entry.path().stem().extension().string().substr(1);
    const std::string response =
        http(port(), "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                         std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_EQ(status_of(response), 200) << response;
    std::string_view last = body_of(response);
    if (stream) {
      last.remove_suffix(1);
      last = last.substr(last.rfind('\n') + 1);
    }
    const json end = json::parse(last, nullptr, false);
    EXPECT_EQ(end["done"], true) << response;
    EXPECT_TRUE(end.contains(path == "/api/chat" ? "message" : "response")) << response;
    ++count;
  }
  EXPECT_EQ(count, 6);
}

}  // namespace
}  // namespace fvlm
