// Requests of OpenAI's chat completions.
#pragma once

#include <optional>
#include <string_view>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// Every field is honoured, or without effect here, or an error that names it; so is every malformed
// value. Takes time and memory linear in the body's size.
Read<ApiRequest> read_chat_request(std::string_view body, const ChatLimits& limits);

// "stream" and "stream_options", common to OpenAI's completions of chats and texts.
std::optional<ApiError> read_stream(const Json& body, bool& stream, bool& include_usage);

}  // namespace fvlm::net
