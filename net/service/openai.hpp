// OpenAI's API (chat completions and models) as JSON texts. Images are data URLs; no URL is
// fetched, against server-side request forgery (SSRF).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/http/transport.hpp"

namespace fvlm::net {

// {"error": {...}}: `type`, `param` and `code` are for programs.
struct ApiError {
  int status = 400;
  std::string message{};
  std::string type = "invalid_request_error";
  std::string param{};  // the field that is wrong, if any
  std::string code{};
};
HttpResponse error_response(const ApiError& error);

struct ChatTurn {
  Turn::Role role = Turn::Role::kUser;
  std::string text{};
  std::vector<std::string> images{};  // files as they were sent
};

struct ChatRequest {
  std::string model{};
  std::vector<ChatTurn> turns{};
  Sampling sampling{};
  std::vector<std::string> stop{};  // the answer ends before any of these
  bool stream = false;
  bool include_usage = false;  // at the end of a stream
};

// Fields without an implementation are ignored if they have no effect; else they are an error, as
// is every malformed value. Takes time and memory linear in the body's size.
std::variant<ChatRequest, ApiError> read_chat_request(std::string_view body);

// Common to all events of one response.
struct ChatAnswer {
  std::string id{};
  std::string model{};
  std::int64_t created = 0;  // seconds since 1970
  bool include_usage = false;
};

// `finish_reason` is "stop" or "length".
std::string write_answer(const ChatAnswer& answer, std::string_view text,
                         std::string_view finish_reason, const Statistics& statistics);
// Events of a stream, in this order; the usage only if it was requested.
std::string first_event(const ChatAnswer& answer);
std::string text_event(const ChatAnswer& answer, std::string_view text);
std::string last_events(const ChatAnswer& answer, std::string_view finish_reason,
                        const Statistics& statistics);
// An event that ends a stream with an error.
std::string error_event(const ApiError& error);

std::string write_model(std::string_view name, std::int64_t created);
std::string write_models(std::string_view name, std::int64_t created);

}  // namespace fvlm::net
