// Requests of OpenAI's chat completions.
#pragma once

#include <string_view>
#include <variant>

#include "net/api/api_error.hpp"
#include "net/api/chat_request.hpp"

namespace fvlm::net {

// Fields without an implementation are ignored if they have no effect; else they are an error, as
// is every malformed value. Takes time and memory linear in the body's size.
std::variant<ChatRequest, ApiError> read_chat_request(std::string_view body);

}  // namespace fvlm::net
