#include "net/api/turns.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "net/api/tool_text.hpp"

namespace fvlm::net {

void add_line(std::string_view text, ChatTurn& turn) {
  if (!turn.text.empty()) turn.text += '\n';
  turn.text += text;
}

void set_content(std::vector<ContentPart> parts, ChatTurn& turn) {
  std::erase_if(parts, [](const ContentPart& part) { return part.bytes.empty(); });
  const auto is_image = std::mem_fn(&ContentPart::is_image);
  const auto first_image = std::ranges::find_if(parts, is_image);
  if (std::all_of(first_image, parts.end(), is_image)) {
    std::rotate(parts.begin(), first_image, parts.end());
  }
  const bool images_first = std::ranges::is_partitioned(parts, is_image);
  for (ContentPart& part : parts) {
    if (part.is_image && images_first) {
      turn.images.push_back(std::move(part.bytes));
      continue;
    }
    if (!turn.text.empty() || !turn.image_places.empty()) turn.text += '\n';
    if (part.is_image) {
      turn.image_places.push_back(turn.text.size());
      turn.images.push_back(std::move(part.bytes));
    } else {
      turn.text += part.bytes;
    }
  }
}

void add_tool_response(std::string_view text, bool follows_another, std::vector<ChatTurn>& turns) {
  if (!follows_another) turns.emplace_back();
  add_line(tool_response_text(text), turns.back());
}

}  // namespace fvlm::net
