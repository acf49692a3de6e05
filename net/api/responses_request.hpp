// Requests of OpenAI's responses, as far as text, pictures and functions go.
#pragma once

#include <string_view>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// As read_chat_request() does it. Nothing is stored: a conversation is sent whole as "input".
Read<ApiRequest> read_response_request(std::string_view body, const ChatLimits& limits);

}  // namespace fvlm::net
