// Turns of a conversation as the chat template has them, made of messages of any API.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/api/chat_request.hpp"

namespace fvlm::net {

// Behind the text, on a line of its own.
void add_line(std::string_view text, ChatTurn& turn);

// The answer of a tool: several one after the other are one turn of the user.
void add_tool_response(std::string_view text, bool follows_another, std::vector<ChatTurn>& turns);

}  // namespace fvlm::net
