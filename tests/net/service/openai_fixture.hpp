// What tests of OpenAI's API share: questions about a picture, and their answers.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/net/service/server_fixture.hpp"

namespace fvlm {

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += i + j <= bytes.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

inline json image_part() {
  return {{"type", "image_url"},
          {"image_url", {{"url", "data:image/jpeg;base64," + base64(jpeg())}}}};
}

inline json text_part(const std::string& text) {
  return {{"type", "text"}, {"text", text}};
}

inline json question(int max_tokens) {
  return {
      {"model", "tiny"},
      {"max_tokens", max_tokens},
      {"temperature", 0},
      {"messages",
       {{{"role", "user"}, {"content", json::array({text_part("What is it?"), image_part()})}}}}};
}

class OpenAiTest : public ServerTest {
 protected:
  OpenAiTest() { start({.chat = {.model = "tiny", .max_new_tokens = 1900}}); }

  std::string post_request(const std::string& body, const std::string& more = "") const {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + more +
           "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  std::string post(const json& body) const { return http(port(), post_request(body.dump())); }
  // The answer's body, which must have the status.
  json answer(const json& body, int status = 200) const {
    const std::string response = post(body);
    EXPECT_EQ(status_of(response), status) << response;
    return json::parse(body_of(response), nullptr, false);
  }
  // The data of a stream's events, without the "[DONE]" that must end them.
  static std::vector<json> events(const std::string& response) {
    std::vector<json> all;
    std::string_view rest = body_of(response);
    while (rest.starts_with("data: ") && !rest.starts_with("data: [DONE]")) {
      all.push_back(json::parse(rest.substr(6, rest.find("\n\n") - 6)));
      rest.remove_prefix(rest.find("\n\n") + 2);
    }
    EXPECT_EQ(rest, "data: [DONE]\n\n");
    return all;
  }
};

}  // namespace fvlm
