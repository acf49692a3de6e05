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
  std::string text;  // since the last image
  const auto add = [&](Turn::Role role, std::string_view content) {
    text.append("<|im_start|>")
        .append(name_of(role))
        .append("\n")
        .append(content)
        .append("<|im_end|>\n");
  };
  if (conversation.front().role != Turn::Role::kSystem) add(Turn::Role::kSystem, kDefaultSystem);
  for (const Turn& turn : conversation) {
    std::string content = turn.text;
    const std::size_t places = count_places(content);
    if (places == 0) {
      for (std::size_t i = 0; i < turn.images.size(); ++i)
        content.insert(0, std::string(kImagePlace) + "\n");
    } else if (places != turn.images.size()) {
      throw Error("a turn has {} \"<image>\" in its text but {} images", places,
                  turn.images.size());
    }
    add(turn.role, content);
  }
  text.append("<|im_start|>assistant\n");

  // The pieces between images are tokenised apart, as LLaVA does.
  std::vector<std::int32_t> ids;
  const auto encode = [&](std::string_view piece) {
    const auto more = tokenizer.encode(piece);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  std::size_t from = 0;
  for (auto at = text.find(kImagePlace); at != text.npos; at = text.find(kImagePlace, from)) {
    encode(std::string_view(text).substr(from, at - from));
    ids.push_back(kImageToken);
    from = at + kImagePlace.size();
  }
  encode(std::string_view(text).substr(from));
  return ids;
}

}  // namespace fvlm
