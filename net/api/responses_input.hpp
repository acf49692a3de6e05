// The conversation of a request for a response: "instructions" and "input".
#pragma once

#include <vector>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

Read<std::vector<ChatTurn>> read_input(const Json& body);

}  // namespace fvlm::net
