// Denial of service: an untrusted request costs time and memory linear in its size, however it is
// crafted, and delays other clients little.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "net/api/protocols.hpp"
#include "net/http/one_line.hpp"
#include "net/protocol/messages.hpp"
#include "net/service/stop_filter.hpp"
#include "tests/net/http/websocket_fixture.hpp"
#include "tests/net/service/server_fixture.hpp"
#include "tests/support/cost.hpp"

namespace fvlm {
namespace {

std::string repeated(std::string_view text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

// Elements of a JSON array.
std::string elements(std::string_view element, std::size_t count) {
  std::string text = repeated(std::string(element) + ",", count);
  if (!text.empty()) text.pop_back();
  return text;
}

std::string with_messages(const std::string& messages) {
  return R"({"model": "m", "messages": [)" + messages + "]}";
}

std::string user(const std::string& content) {
  return R"({"role": "user", "content": )" + content + "}";
}

// A request that asks "hi", with more fields.
std::string with_hi(const std::string& more) {
  return R"({"model": "m", "messages": [)" + user("\"hi\"") + "], " + more + "}";
}

std::string numbered_keys(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += fmt::format(R"("k{}": 1,)", i);
  return "{" + text + R"("model": "m"})";
}

constexpr const char* kChat = "/v1/chat/completions";

struct Shape {
  const char* name;
  std::size_t size;  // of the smaller one, the other is four times as large
  std::function<std::string(std::size_t)> body;
  const char* path = kChat;
};

auto read_request(const std::string& body, const char* path = kChat) {
  return net::protocol_of(path)->read(body, {.vocabulary = 10});
}

TEST(RequestCost, GrowsWithTheSizeOfTheBody) {
  const std::vector<Shape> shapes = {
      {"messages", 25'000,
       [](std::size_t n) { return with_messages(elements(user("\"hi\""), n)); }},
      {"messages that are taken", 2000,
       [](std::size_t n) { return with_messages(elements(user("\"hi\""), n)); }},
      {"parts", 50'000,
       [](std::size_t n) {
         return with_messages(user("[" + elements(R"({"type": "text", "text": "a"})", n) + "]"));
       }},
      {"arrays", 200'000, [](std::size_t n) { return with_messages(elements("[]", n)); }},
      {"nested arrays", 200'000, [](std::size_t n) { return with_messages(std::string(n, '[')); }},
      {"keys", 10'000, numbered_keys},
      {"keys of many objects", 500,
       [](std::size_t n) { return with_messages(elements(numbered_keys(300), n)); }},
      {"digits", 250'000,
       [](std::size_t n) { return R"({"model": "m", "seed": )" + std::string(n, '7') + "}"; }},
      {"digits behind the point", 250'000,
       [](std::size_t n) { return R"({"model": "m", "seed": 0.)" + std::string(n, '7') + "}"; }},
      {"a long text", 1'000'000,
       [](std::size_t n) { return with_messages(user('"' + std::string(n, 'a') + '"')); }},
      {"escapes", 250'000,
       [](std::size_t n) { return with_messages(user('"' + repeated("\\u00e9", n) + '"')); }},
      {"a long picture", 1'000'000,
       [](std::size_t n) {
         return with_messages(
             user(R"([{"type": "image_url", "image_url": "data:image/png;base64,)" +
                  std::string(n, 'A') + "\"}]"));
       }},
      {"a long name", 1'000'000,
       [](std::size_t n) { return R"({"model": ")" + std::string(n, 'a') + "\"}"; }},
      {"a picture in lines", 250'000,
       [](std::size_t n) {
         return with_messages(
             user(R"([{"type": "image_url", "image_url": "data:image/png;base64,)" +
                  repeated("%41A\\n_", n) + "\"}]"));
       }},
      {"arguments of a tool", 100'000,
       [](std::size_t n) {
         return with_messages(
             R"({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": )" +
             std::string(30, '[') + elements("1", n) + std::string(30, ']') + R"(}"}}]},)" +
             user("\"hi\""));
       }},
      {"fields that are not known", 25'000,
       [](std::size_t n) {
         return with_messages(elements(R"({"role": "user", "content": "hi", "x": 1})", n));
       }},
      {"values of a schema", 25'000,
       [](std::size_t n) {
         return with_hi(R"("guided_json": {"enum": [)" + elements("\"word\"", n) + "]}");
       }},
      {"schemas in a schema", 1000,
       [](std::size_t n) {
         return with_hi(
             R"("guided_json": {"$defs": {"a": {"type": "string", "maxLength": 9}}, "prefixItems": [)" +
             elements(R"({"type": "array", "items": {"$ref": "#/$defs/a"}})", n) + "]}");
       }},
      {"texts to choose", 25'000,
       [](std::size_t n) {
         return with_hi(R"("guided_choice": [)" + elements("\"word\"", n) + "]");
       }},
      {"an expression", 1000,
       [](std::size_t n) { return with_hi(R"("guided_regex": ")" + repeated("[a-f]", n) + "\""); }},
      {"stops", 100'000,
       [](std::size_t n) {
         return R"({"model": "m", "messages": [)" + user("\"hi\"") + R"(], "stop": [)" +
                elements("\"a\"", n) + "]}";
       }},
      {"tokens of a text", 100'000,
       [](std::size_t n) { return R"({"prompt": [)" + elements("1", n) + "]}"; },
       "/v1/completions"},
      {"texts", 25'000,
       [](std::size_t n) { return R"({"prompt": [)" + elements("\"a\"", n) + "]}"; },
       "/v1/completions"},
      {"items", 2000,
       [](std::size_t n) {
         return R"({"input": [)" +
                elements(R"({"type": "function_call_output", "output": "a"})", n) + "]}";
       },
       "/v1/responses"},
      {"functions", 25'000,
       [](std::size_t n) {
         return R"({"input": "hi", "tools": [)" +
                elements(R"({"type": "function", "name": "f"})", n) + "]}";
       },
       "/v1/responses"},
      {"pictures of messages, repeated", 2000,
       [](std::size_t n) {
         return with_messages(elements(R"({"role": "user", "images": ["QUJD"]})", n))
             .insert(1, R"("images": [)" + elements("\"QUJD\"", n) + "],");
       },
       "/api/chat"},
      {"pictures", 50'000,
       [](std::size_t n) { return R"({"images": [)" + elements("\"QUJD\"", n) + "]}"; },
       "/api/generate"},
  };
  for (const Shape& shape : shapes) {
    const auto read = [&](const std::string& body) { return read_request(body, shape.path); };
    EXPECT_LT(growth(shape.size, shape.body, read), kMostGrowth) << shape.name;
  }
}

TEST(RequestCost, LimitsAreNamed) {
  const auto problem = [](const std::string& body) {
    const auto read = read_request(body);
    const auto* error = std::get_if<net::ApiError>(&read);
    return error == nullptr ? "" : error->param + ": " + error->message;
  };
  const auto part = [](const std::string& type) { return R"({"type": ")" + type + "\"}"; };
  EXPECT_EQ(problem(with_messages(elements(user("\"hi\""), 8192))), "");
  EXPECT_EQ(problem(with_messages(elements(user("\"hi\""), 8193))),
            "messages: at most 8192 messages are taken, not 8193");
  EXPECT_EQ(problem(with_messages(user("[" + elements(part("text"), 1025) + "]"))),
            "messages[0].content: at most 1024 parts are taken, not 1025");
  EXPECT_EQ(problem(numbered_keys(400)), ": the body has an object of more than 320 keys");
  EXPECT_EQ(problem(with_messages(elements("1", 1 << 20))),
            ": the body has more than 1048576 values");
  EXPECT_EQ(problem(with_messages(std::string(31, '[') + std::string(31, ']'))),
            ": the body nests deeper than 32 levels");
  // What stands in a text is no structure.
  EXPECT_EQ(problem(with_messages(user('"' + repeated("[{:,\\\"", 1 << 20) + '"'))), "");
  EXPECT_EQ(problem(R"({"model": "m", "messages": [)" + user("\"hi\"") + R"(], "stop": ")" +
                    std::string(1025, 'a') + "\"}"),
            "stop: a text of \"stop\" may have 1024 bytes");
}

TEST(RequestCost, OfAWebSocketsTextIsBounded) {
  const auto read = protocol::read_client_message(R"({"type": "configure", "request_id": )" +
                                                  numbered_keys(2000) + "}");
  EXPECT_EQ(std::get<protocol::Unreadable>(read).why,
            "a text message has an object of more than 320 keys");
}

// Words of which the text holds all but the end, again and again.
TEST(RequestCost, StopWordsLookAtEachByteOnce) {
  const auto make = [](std::size_t n) { return std::string(n, 'a'); };
  const auto filter = [](const std::string& text) {
    net::StopFilter stop({text + "b", "b" + text});
    std::string said;
    for (int i = 0; i < 4; ++i) {
      for (std::size_t at = 0; at < text.size(); at += 8) {
        said += stop.add(std::string_view(text).substr(at, 8));
      }
      said += stop.add("c");
    }
    EXPECT_EQ(said.size(), 4 * (text.size() + 1));
  };
  EXPECT_LT(growth(20'000, make, filter), kMostGrowth);
}

TEST(RequestCost, FragmentsOfAMessageAreJoinedInLinearTime) {
  Echo echo;
  RawWebSocket client(echo.port());
  const auto make = [](std::size_t n) {
    return frame(kText, "a", false) + repeated(frame(kContinuation, "b", false), n) +
           frame(kContinuation, "c");
  };
  const auto send = [&](const std::string& frames) {
    client.socket().send(frames);
    EXPECT_EQ(client.next_text().size(), frames.size() / frame(kContinuation, "b", false).size());
  };
  EXPECT_LT(growth(25'000, make, send), kMostGrowth);
}

// Says something that breaks lines.
class ShoutingEngine final : public IdleEngine {
 public:
  static constexpr const char* kText = "one\ntwo\x1b[2J\n[2026-11-23 08:17:00] INFO: forged";

  RequestId submit(Request request) override {
    Result result;
    result.text = kText;
    request.on_text(kText);
    request.on_done(result);
    return 1;
  }
};

// At its door requests stand until it opens.
class GatedEngine final : public OtherEngine {
 public:
  using OtherEngine::OtherEngine;
  void open() { gate_.count_down(); }
  int asked() const { return asked_; }

  RequestId submit(Request request) override {
    ++asked_;
    gate_.wait();
    return OtherEngine::submit(std::move(request));
  }

 private:
  std::latch gate_{1};
  std::atomic<int> asked_ = 0;
};

// During the most expensive untrusted requests, health checks and another client's chat go on.
class CostlyRequests : public ServerTest {
 protected:
  using Clock = std::chrono::steady_clock;

  static std::string request(const std::string& body) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  std::string post(const std::string& body) const { return http(port(), request(body)); }
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
};

TEST_F(CostlyRequests, DelayNobodyWithTheirRequests) {
  // What took a minute takes a part of the first, on a machine that does nothing else.
  constexpr double kLongest = 5 * kInstrumented;
  start({.chat = {.model = "m"}});
  std::atomic<bool> done = false;
  double slowest = 0;
  std::thread other([&] {
    const std::string chat =
        R"({"model": "m", "max_tokens": 2, "messages": [)" + user("\"Hello\"") + "]}";
    while (!done) {
      const auto begin = Clock::now();
      EXPECT_EQ(status_of(http_get(port(), "/livez")), 200);
      EXPECT_EQ(status_of(post(chat)), 200);
      slowest = std::max(slowest, seconds_since(begin));
    }
  });
  const auto expect = [&](const std::string& name, const std::string& body,
                          const std::string& part) {
    SCOPED_TRACE(name);
    const auto begin = Clock::now();
    std::vector<std::thread> clients;
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back([&] {
        const std::string response = post(body);
        EXPECT_EQ(status_of(response), 400) << response.substr(0, 300);
        EXPECT_NE(response.find(part), std::string::npos) << response.substr(0, 300);
        EXPECT_LT(response.size(), 1000U);
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_LT(seconds_since(begin), kLongest);
  };
  const std::string message = user('"' + std::string(40, 'x') + '"');
  expect("100,000 messages", with_messages(elements(message, 100'000)), "8192 messages");
  expect("8,192 messages", R"({"model": "m", "messages": [)" + elements(message, 8192) + "]}",
         "tokens long");
  expect("a word of 1 MB", with_messages(user('"' + std::string(1 << 20, 'a') + '"')),
         "tokens long");
  done = true;
  other.join();
  EXPECT_LT(slowest, kLongest);

  RawWebSocket socket(port());
  const auto begin = Clock::now();
  socket.socket().send(frame(kText, "a", false) +
                       repeated(frame(kContinuation, "", false), 100'000) +
                       frame(kContinuation, "b"));
  EXPECT_EQ(next(socket)["code"], "bad_message");
  EXPECT_LT(seconds_since(begin), kLongest);
}

// A request costs nothing once its client has left or its time is over, which runs while it waits
// for a reader, too.
TEST_F(CostlyRequests, WhoLeaveAreNotWorkedFor) {
  GatedEngine engine(*engine_);
  start(engine, {.chat = {.model = "m"}, .pictures = {.threads = 1}});
  const std::string body =
      R"({"model": "m", "max_tokens": 1, "messages": [)" + user("\"hi\"") + "]}";
  std::thread first([&] { EXPECT_EQ(status_of(post(body)), 200); });
  while (engine.asked() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (int i = 1; i <= 3; ++i) {
    {
      RawSocket client(port());
      client.send(request(body));
      await_metric("fastvlm_chats_running 2\n");
    }
    await_metric(fmt::format(
        "fastvlm_chats_total{{outcome=\"abandoned\",route=\"/v1/chat/completions\"}} {}\n", i));
  }
  engine.open();
  first.join();
  EXPECT_EQ(status_of(post(body)), 200);
  EXPECT_EQ(engine.asked(), 2);
  stop();  // before the engine goes
}

TEST_F(CostlyRequests, WriteNoLinesOfTheLog) {
  ShoutingEngine engine;
  std::vector<std::string> lines;  // of the thread that serves
  start(engine, {.chat = {.model = "m"},
                 .log = [&](net::LogLevel, const std::string& line, const net::LogFields&) {
                   lines.push_back(line);
                 }});
  const auto ask = [&](const std::string& model) {
    return post(R"({"model": ")" + model + R"(", "messages": [)" + user("\"hi\"") + "]}");
  };
  const std::string refusal = ask("x\\nINFO: forged\\u001b[2J" + std::string(1 << 20, 'y'));
  EXPECT_EQ(status_of(refusal), 404);
  EXPECT_LT(refusal.size(), 1000U);
  EXPECT_EQ(json::parse(body_of(ask("m")))["choices"][0]["message"]["content"],
            ShoutingEngine::kText);
  stop();  // before the engine goes
  EXPECT_GE(lines.size(), 4U);
  for (const std::string& line : lines) {
    EXPECT_LT(line.size(), 2100U);
    EXPECT_EQ(line.find_first_of("\n\x1b"), std::string::npos) << line;
  }
}

TEST(OneLine, KeepsTextAndWritesControlCharactersOut) {
  EXPECT_EQ(net::one_line("Zwei Sterne, 两颗星 ✨", 100), "Zwei Sterne, 两颗星 ✨");
  EXPECT_EQ(net::one_line("a\nb\r\x1b[0m\x7f", 100), "a\\nb\\x0d\\x1b[0m\\x7f");
  EXPECT_EQ(net::one_line("\u009b2J\u00a0", 100), "\\x9b2J\u00a0");
  EXPECT_EQ(net::one_line("123456", 6), "123456");
  EXPECT_EQ(net::one_line("123456", 5), "12345…");
  EXPECT_EQ(net::one_line("12两颗", 4), "12…");
  EXPECT_EQ(net::one_line("", 0), "");
}

}  // namespace
}  // namespace fvlm
