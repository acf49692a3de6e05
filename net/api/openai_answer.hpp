// Answers of OpenAI's API (chat completions and models) as JSON texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fvlm/engine.hpp"
#include "net/api/api_error.hpp"

namespace fvlm::net {

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
