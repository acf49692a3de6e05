// What tests of requests share.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "net/api/openai_request.hpp"

namespace fvlm {

using nlohmann::ordered_json;

// A chat completion that asks "Hi", with these fields changed.
inline ordered_json hi(const ordered_json& change = ordered_json::object()) {
  ordered_json body = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
  body.merge_patch(change);
  return body;
}

inline constexpr net::ChatLimits kTestLimits = {.max_new_tokens = 1900, .vocabulary = 1000};

// Fails the test, and has nothing in it, if it is refused.
inline net::ChatRequest accepted(const ordered_json& body) {
  auto read = net::read_chat_request(body.dump(), kTestLimits);
  if (const auto* error = std::get_if<net::ApiError>(&read)) {
    ADD_FAILURE() << error->param << ": " << error->message << "\n" << body;
    return {};
  }
  return std::get<net::ApiRequest>(std::move(read)).chat;
}

// "param: message [code]"; empty if it is accepted.
inline std::string refused(const ordered_json& body) {
  const auto read = net::read_chat_request(body.dump(), kTestLimits);
  const auto* error = std::get_if<net::ApiError>(&read);
  if (error == nullptr) return {};
  EXPECT_EQ(error->status, 400);
  EXPECT_EQ(error->type, "invalid_request_error");
  return error->param + ": " + error->message +
         (error->code.empty() ? "" : " [" + error->code + "]");
}

}  // namespace fvlm
