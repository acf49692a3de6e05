// OpenAI's completions: a text that the model continues as it is, without a chat template.
#pragma once

#include <string_view>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// As read_chat_request() does it.
Read<ApiRequest> read_completion(std::string_view body, const ChatLimits& limits);

}  // namespace fvlm::net
