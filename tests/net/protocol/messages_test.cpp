// Each message between servers and clients: its bytes, and there and back.
#include "net/protocol/messages.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tests/net/protocol/expect_spelling.hpp"

namespace fvlm::protocol {
namespace {

std::string problem(std::string_view text) {
  const ClientMessage message = read_client_message(text);
  const auto* unreadable = std::get_if<Unreadable>(&message);
  return unreadable == nullptr ? "" : unreadable->why;
}

TEST(Messages, Configure) {
  expect_spelling(Configure{.stream = true, .temperature = 0},
                  R"({"stream":true,"temperature":0,"type":"configure"})", read_client_message);
  expect_spelling(Configure{.max_new_tokens = 9,
                            .prompt = "What is \"it\"?\n图",
                            .request_id = R"({"n":[7,null],"a":"b"})",
                            .stream = false,
                            .temperature = 0.5,
                            .unchanged_below = 2},
                  R"({"max_new_tokens":9,"prompt":"What is \"it\"?\n图",)"
                  R"("request_id":{"n":[7,null],"a":"b"},"stream":false,"temperature":0.5,)"
                  R"("type":"configure","unchanged_below":2})",
                  read_client_message);
  expect_spelling(Configure{}, R"({"type":"configure"})", read_client_message);
}

TEST(Messages, Cancel) {
  expect_spelling(Cancel{}, R"({"type":"cancel"})", read_client_message);
}

TEST(Messages, DescriptionOfTheOriginal) {
  expect_spelling(Description{.content = "一棵树。", .timestamp = "20261123_081700"},
                  R"({"type":"description","content":"一棵树。","timestamp":"20261123_081700"})",
                  read_server_message);
  // As the original server writes it.
  const ServerMessage read = read_server_message(
      R"({"type": "description", "content": "A tree.", "timestamp": "20261123_081700"})");
  EXPECT_TRUE(std::get<Description>(read) ==
              (Description{.content = "A tree.", .timestamp = "20261123_081700"}));
}

TEST(Messages, DescriptionWithAllThatCanBeAskedFor) {
  Description description{.content = "A tree.",
                          .timestamp = "20261123_081700",
                          .frame_id = 3,
                          .ttft_ms = 5,
                          .total_ms = 20.5,
                          .tokens = 12};
  const std::string beginning =
      R"({"type":"description","content":"A tree.","timestamp":"20261123_081700","frame_id":3,)"
      R"("ttft_ms":5.0,"total_ms":20.5,"tokens":12)";
  expect_spelling(description, beginning + "}", read_server_message);
  description.unchanged = true;
  description.prompt = "What?";
  description.request_id = "null";
  expect_spelling(description,
                  beginning + R"(,"unchanged":true,"prompt":"What?","request_id":null})",
                  read_server_message);
}

TEST(Messages, Token) {
  expect_spelling(Token{"A ", 3}, R"({"type":"token","content":"A ","frame_id":3})",
                  read_server_message);
}

TEST(Messages, Skipped) {
  expect_spelling(Skipped{3}, R"({"type":"skipped","frame_id":3})", read_server_message);
}

TEST(Messages, Error) {
  expect_spelling(Error{"bad_image", "no JPEG", 3},
                  R"({"type":"error","code":"bad_image","message":"no JPEG","frame_id":3})",
                  read_server_message);
  expect_spelling(Error{.code = "bad_message", .message = "of no frame"},
                  R"({"type":"error","code":"bad_message","message":"of no frame"})",
                  read_server_message);
}

TEST(Messages, DamagedUtf8IsReplaced) {
  EXPECT_EQ(write(Token{"\xff", 1}), R"({"type":"token","content":"�","frame_id":1})");
}

TEST(Messages, UnknownFieldsArePassedOver) {
  const ClientMessage configure =
      read_client_message(R"({"news":[1],"type":"configure","stream":true})");
  EXPECT_TRUE(std::get<Configure>(configure) == Configure{.stream = true});
  const ServerMessage skipped = read_server_message(R"({"type":"skipped","why":{},"frame_id":2})");
  EXPECT_TRUE(std::get<Skipped>(skipped) == Skipped{2});
}

TEST(Messages, WrongMessagesOfClientsAreNamed) {
  EXPECT_EQ(problem(""), "a text message is empty; it must be a JSON object");
  EXPECT_EQ(problem("[]"), "a text message must be a JSON object");
  EXPECT_EQ(problem("{}"), "a message needs a \"type\"");
  EXPECT_EQ(problem(R"({"type":7})"), "a message needs a \"type\"");
  EXPECT_EQ(problem(R"({"type":"launch"})"), "\"type\" must be \"configure\" or \"cancel\"");
  EXPECT_EQ(problem(std::string(kLongestText + 1, ' ')), "a text message may have 65536 bytes");
  for (const auto& [field, kind] : std::vector<std::pair<std::string, std::string>>{
           {R"("prompt":7)", R"("prompt" must be a text)"},
           {R"("max_new_tokens":1.5)", R"("max_new_tokens" must be a whole number)"},
           {R"("temperature":"0")", R"("temperature" must be a number)"},
           {R"("stream":1)", R"("stream" must be true or false)"},
           {R"("unchanged_below":null)", R"("unchanged_below" must be a number)"}}) {
    EXPECT_EQ(problem(R"({"type":"configure",)" + field + "}"), kind);
  }
}

TEST(Messages, WrongMessagesOfServersHarmNoClient) {
  const std::string deep = R"({"type":"description","content":)" + std::string(500'000, '[') +
                           std::string(500'000, ']') + "}";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{"), std::string("{\"type\":7}"),
        std::string("null"), std::string("\xff"), std::string(R"({"type":"news"})"), deep}) {
    EXPECT_TRUE(std::holds_alternative<Unreadable>(read_server_message(text)))
        << text.substr(0, 80);
  }
  const ServerMessage odd = read_server_message(
      R"({"type":"description","content":7,"frame_id":"1","ttft_ms":5,"tokens":2.5})");
  EXPECT_TRUE(std::get<Description>(odd) == Description{.ttft_ms = 5});
}

TEST(Messages, TimestampsAreLocalTime) {
  std::tm local{};
  local.tm_year = 2026 - 1900;
  local.tm_mon = 10;
  local.tm_mday = 23;
  local.tm_hour = 8;
  local.tm_min = 17;
  local.tm_isdst = -1;
  EXPECT_EQ(timestamp(std::chrono::system_clock::from_time_t(std::mktime(&local))),
            "20261123_081700");
}

}  // namespace
}  // namespace fvlm::protocol
