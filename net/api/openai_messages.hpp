// The conversation of a chat completion: its messages, with pictures as data URLs. No URL is
// fetched, against server-side request forgery (SSRF).
#pragma once

#include <vector>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// Of a request's "messages".
Read<std::vector<ChatTurn>> read_turns(const Json& body);

}  // namespace fvlm::net
