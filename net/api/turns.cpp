#include "net/api/turns.hpp"

#include "net/api/tool_text.hpp"

namespace fvlm::net {

void add_line(std::string_view text, ChatTurn& turn) {
  if (!turn.text.empty()) turn.text += '\n';
  turn.text += text;
}

void add_tool_response(std::string_view text, bool follows_another, std::vector<ChatTurn>& turns) {
  if (!follows_another) turns.emplace_back();
  add_line(tool_response_text(text), turns.back());
}

}  // namespace fvlm::net
