// The conversation of a chat completion, as clients replay it: turns of system, user, assistant and
// tools, with pictures as data URLs.
#pragma once

#include <vector>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// Of a request's "messages". Several answers of tools one after the other are one turn of the user,
// as the chat template has it.
Read<std::vector<ChatTurn>> read_turns(const Json& body);

}  // namespace fvlm::net
