// Answers of OpenAI's API (chat completions and models) as JSON texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fvlm/engine.hpp"
#include "net/api/api_error.hpp"
#include "net/api/tools.hpp"

namespace fvlm::net {

// Common to all events of one response.
struct ChatAnswer {
  std::string id{};
  std::string model{};
  std::int64_t created = 0;  // seconds since 1970
  bool include_usage = false;
  bool include_logprobs = false;
};

// Of all answers to one request.
struct ChatUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  // of these
  std::int64_t new_tokens = 0;
};

// One of them, whole.
struct ChatChoice {
  std::string_view text{};
  std::span<const TokenLogprobs> logprobs{};
  std::string_view finish_reason{};  // "stop", "length" or "tool_calls"
  const ToolCall* call = nullptr;    // in place of the text
};
std::string write_answer(const ChatAnswer& answer, std::span<const ChatChoice> choices,
                         const ChatUsage& usage);

// Events of a stream: the beginning of each answer, pieces of them, and their ends, in any order of
// the answers; then the end of all, with the usage if it was requested.
std::string first_event(const ChatAnswer& answer, std::size_t index);
std::string piece_event(const ChatAnswer& answer, std::size_t index, std::string_view text,
                        std::span<const TokenLogprobs> logprobs);
std::string call_event(const ChatAnswer& answer, std::size_t index, const ToolCall& call);
std::string finish_event(const ChatAnswer& answer, std::size_t index,
                         std::string_view finish_reason);
std::string last_events(const ChatAnswer& answer, const ChatUsage& usage);
// An event that ends a stream with an error.
std::string error_event(const ApiError& error);

// A model that is served.
struct ServedModel {
  std::string name{};
  std::string folder{};              // of the checkpoint
  std::int64_t created = 0;          // seconds since 1970
  std::int64_t context_tokens = 0;   // of prompt and answer
  std::int64_t tokens_of_image = 0;  // that each picture takes of these
  std::int64_t max_answer_tokens = 0;
};
std::string write_model(const ServedModel& model);
std::string write_models(const ServedModel& model);

}  // namespace fvlm::net
