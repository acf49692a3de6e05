// Turns of a conversation as the chat template has them, made of messages of any API.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/api/chat_request.hpp"

namespace fvlm::net {

// Behind the text, on a line of its own.
void add_line(std::string_view text, ChatTurn& turn);

// A piece of a message: text, or the file of an image.
struct ContentPart {
  std::string bytes;
  bool is_image = false;
};

// Makes the parts a turn's content, in their order and each on a line of its own. Images that
// follow all of the text go before it, where the model was trained to see them.
void set_content(std::vector<ContentPart> parts, ChatTurn& turn);

// The answer of a tool: several one after the other are one turn of the user.
void add_tool_response(std::string_view text, bool follows_another, std::vector<ChatTurn>& turns);

}  // namespace fvlm::net
