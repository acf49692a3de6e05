// Requests of OpenAI's chat completions.
#pragma once

#include <string_view>
#include <variant>

#include "net/api/api_error.hpp"
#include "net/api/chat_request.hpp"

namespace fvlm::net {

// Every field is honoured, or without effect here, or an error that names it; so is every malformed
// value. Takes time and memory linear in the body's size.
std::variant<ChatRequest, ApiError> read_chat_request(std::string_view body,
                                                      const ChatLimits& limits);

}  // namespace fvlm::net
