#include "runtime/prompt.hpp"

#include <string>

#include "fvlm/core/error.hpp"

namespace fvlm {
namespace {

constexpr std::string_view kImagePlace = "<image>";
constexpr std::string_view kDefaultSystem = "You are a helpful assistant.";

std::size_t count_places(std::string_view text) {
  std::size_t count = 0;
  for (auto at = text.find(kImagePlace); at != text.npos; at = text.find(kImagePlace, at + 1))
    ++count;
  return count;
}

// The user's text, with a place for each image: at the front, unless the text says where.
std::string with_places(const Turn& turn) {
  const std::size_t places = count_places(turn.text);
  if (places == turn.images.size()) return turn.text;
  if (places > 0) {
    throw Error("a turn has {} \"<image>\" in its text but {} images", places, turn.images.size());
  }
  std::string text;
  for (std::size_t i = 0; i < turn.images.size(); ++i) text.append(kImagePlace).append("\n");
  return text + turn.text;
}

std::string_view name_of(Turn::Role role) {
  switch (role) {
    case Turn::Role::kSystem:
      return "system";
    case Turn::Role::kUser:
      return "user";
    case Turn::Role::kAssistant:
      return "assistant";
  }
  return "";
}

}  // namespace

std::vector<std::int32_t> make_prompt(const Tokenizer& tokenizer,
                                      const std::vector<Turn>& conversation) {
  if (conversation.empty() || conversation.back().role != Turn::Role::kUser) {
    throw Error("the conversation must end with a turn of the user");
  }
  std::vector<std::int32_t> ids;
  std::string text;  // since the last image: pieces between images are tokenised apart, as in LLaVA
  const auto encode = [&] {
    const auto more = tokenizer.encode(text);
    ids.insert(ids.end(), more.begin(), more.end());
    text.clear();
  };
  const auto open_turn = [&](std::string_view role) {
    text.append("<|im_start|>").append(role).append("\n");
  };
  const auto close_turn = [&] { text.append("<|im_end|>\n"); };
  if (conversation.front().role != Turn::Role::kSystem) {
    open_turn("system");
    text.append(kDefaultSystem);
    close_turn();
  }
  for (const Turn& turn : conversation) {
    const std::string_view role = name_of(turn.role);
    open_turn(role);
    if (turn.role == Turn::Role::kUser) {
      const std::string content = with_places(turn);
      std::size_t from = 0;
      for (auto at = content.find(kImagePlace); at != content.npos;
           at = content.find(kImagePlace, from)) {
        text.append(content, from, at - from);
        encode();
        ids.push_back(kImageToken);
        from = at + kImagePlace.size();
      }
      text.append(content, from);
    } else {
      if (!turn.images.empty()) throw Error("a turn of the {} cannot have images", role);
      text.append(turn.text);
    }
    close_turn();
  }
  open_turn("assistant");
  encode();
  return ids;
}

}  // namespace fvlm
