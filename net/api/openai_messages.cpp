#include "net/api/openai_messages.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/protocol/base64.hpp"

namespace fvlm::net {
namespace {

// More than any conversation that fits into a model's context has.
constexpr std::size_t kMostMessages = 8192;
constexpr std::size_t kMostParts = 1024;  // of a message
constexpr std::size_t kMostImages = 16;   // of all messages

// "data:image/jpeg;base64,..." to the file.
Read<std::string> read_data_url(std::string_view url, const std::string& param) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kEncoding = ";base64";
  if (!url.starts_with(kScheme)) {
    return wrong(param,
                 "this server fetches no URLs: send the picture itself, as "
                 "\"data:image/jpeg;base64,...\"",
                 "invalid_image_url");
  }
  const std::size_t comma = url.find(',');
  if (comma == url.npos || !url.substr(0, comma).ends_with(kEncoding)) {
    return wrong(param, "a data URL must be \"data:TYPE;base64,DATA\"", "invalid_image_url");
  }
  auto bytes = decode_base64(url.substr(comma + 1));
  if (!bytes) return wrong(param, "the data URL is not valid Base64", "invalid_image_url");
  return *std::move(bytes);
}

std::optional<ApiError> read_part(const Json& part, const std::string& param, ChatTurn& turn) {
  const Json* type = part.is_object() ? field(part, "type") : nullptr;
  if (type == nullptr || !type->is_string()) return wrong(param, "a part needs a \"type\"");
  if (*type == "text") {
    const Json* text = field(part, "text");
    if (text == nullptr || !text->is_string()) return wrong(param + ".text", "must be a text");
    if (!turn.text.empty()) turn.text += '\n';
    turn.text += text->get<std::string>();
    return std::nullopt;
  }
  if (*type != "image_url") {
    return wrong(param + ".type", "\"text\" and \"image_url\" are the parts understood here");
  }
  const Json* image = field(part, "image_url");
  const Json* url = image != nullptr && image->is_object() ? field(*image, "url") : image;
  if (url == nullptr || !url->is_string()) {
    return wrong(param + ".image_url", "must be an object with a \"url\"");
  }
  auto file = read_data_url(url->get_ref<const std::string&>(), param + ".image_url.url");
  if (auto* error = std::get_if<ApiError>(&file)) return *error;
  turn.images.push_back(std::get<std::string>(std::move(file)));
  return std::nullopt;
}

Read<ChatTurn> read_turn(const Json& message, const std::string& param) {
  if (!message.is_object()) return wrong(param, "must be an object");
  ChatTurn turn;
  const Json* role = field(message, "role");
  if (role != nullptr && (*role == "system" || *role == "developer")) {
    turn.role = Turn::Role::kSystem;
  } else if (role != nullptr && *role == "assistant") {
    turn.role = Turn::Role::kAssistant;
  } else if (role == nullptr || *role != "user") {
    return wrong(param + ".role", "must be \"system\", \"user\" or \"assistant\"");
  }
  const Json* content = field(message, "content");
  if (content != nullptr && content->is_string()) {
    turn.text = content->get<std::string>();
    return turn;
  }
  if (content == nullptr || !content->is_array()) {
    return wrong(param + ".content", "must be a text or an array of parts");
  }
  if (content->size() > kMostParts) {
    return wrong(param + ".content",
                 fmt::format("at most {} parts are taken, not {}", kMostParts, content->size()));
  }
  for (std::size_t i = 0; i < content->size(); ++i) {
    const auto error = read_part((*content)[i], fmt::format("{}.content[{}]", param, i), turn);
    if (error) return *error;
  }
  return turn;
}

// Parts of messages that are images, wherever something is wrong.
std::size_t count_images(const Json& messages) {
  std::size_t count = 0;
  for (const Json& message : messages) {
    const Json* content = message.is_object() ? field(message, "content") : nullptr;
    if (content == nullptr || !content->is_array()) continue;
    for (const Json& part : *content) {
      const Json* type = part.is_object() ? field(part, "type") : nullptr;
      if (type != nullptr && *type == "image_url") ++count;
    }
  }
  return count;
}

}  // namespace

Read<std::vector<ChatTurn>> read_turns(const Json& body) {
  const Json* messages = field(body, "messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return wrong("messages", "must be an array of messages");
  }
  if (messages->size() > kMostMessages) {
    return wrong("messages", fmt::format("at most {} messages are taken, not {}", kMostMessages,
                                         messages->size()));
  }
  if (const std::size_t images = count_images(*messages); images > kMostImages) {
    return wrong("messages",
                 fmt::format("at most {} images are taken, not {}", kMostImages, images));
  }
  std::vector<ChatTurn> turns;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    auto turn = read_turn((*messages)[i], fmt::format("messages[{}]", i));
    if (auto* error = std::get_if<ApiError>(&turn)) return *error;
    turns.push_back(std::get<ChatTurn>(std::move(turn)));
  }
  return turns;
}

}  // namespace fvlm::net
