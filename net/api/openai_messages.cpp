#include "net/api/openai_messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/api/data_url.hpp"
#include "net/api/tool_text.hpp"
#include "net/api/turns.hpp"

namespace fvlm::net {
namespace {

constexpr std::array kMessageFields = {
    KnownField{"role"},
    KnownField{"content"},
    KnownField{"name"},
    KnownField{"refusal"},
    KnownField{"tool_calls"},
    KnownField{"function_call"},
    KnownField{"tool_call_id", kAnything, "the chat template tells answers by their order"},
    KnownField{"annotations", kAnything, "they are about the text, which is there"},
    KnownField{"cache_control", kAnything, "what prompts have in common is cached anyway"},
    KnownField{"audio", "[]"},
    KnownField{"reasoning", R"([""])", "the chat template has no place for it"},
    KnownField{"reasoning_content", R"([""])", "the chat template has no place for it"},
};
constexpr std::array kPartFields = {
    KnownField{"type"},
    KnownField{"text"},
    KnownField{"refusal"},
    KnownField{"image_url"},
    KnownField{"annotations", kAnything, "they are about the text, which is there"},
    KnownField{"prompt_cache_breakpoint", kAnything,
               "what prompts have in common is cached anyway"},
    KnownField{"cache_control", kAnything, "what prompts have in common is cached anyway"},
};
constexpr std::array kImageFields = {
    KnownField{"url"},
    KnownField{"detail", R"(["auto", "low", "high"])", "a picture always has the same detail"},
    KnownField{"format", kAnything, "the picture itself says what it is"},
};
constexpr std::array kCallFields = {
    KnownField{"id", kAnything, "the chat template tells answers by their order"},
    KnownField{"index", kAnything, "calls are in an array"},
    KnownField{"type", R"(["function"])"},
    KnownField{"function"},
};
constexpr std::array kFunctionFields = {KnownField{"name"}, KnownField{"arguments"}};

// What this server does not take, and what to do instead.
constexpr std::array<std::pair<const char*, const char*>, 5> kOtherParts = {{
    {"video_url", "send a video as some of its frames, each an \"image_url\""},
    {"video", "send a video as some of its frames, each an \"image_url\""},
    {"input_audio", "this model sees and does not hear"},
    {"file", "send pages as pictures, each an \"image_url\""},
    {"input_image", "in chat completions a picture is an \"image_url\""},
}};

Read<ContentPart> read_text_part(const Json& part, const char* key, const std::string& param) {
  const Json* text = field(part, key);
  if (text == nullptr || !text->is_string()) return wrong(param + "." + key, "must be a text");
  return ContentPart{text->get<std::string>()};
}

Read<ContentPart> read_image_part(const Json& part, const std::string& param) {
  const Json* image = field(part, "image_url");
  const bool is_object = image != nullptr && image->is_object();
  if (is_object) {
    if (auto error = check_fields(*image, param + ".image_url", {kImageFields})) return *error;
  }
  const Json* url = is_object ? field(*image, "url") : image;
  if (url == nullptr || !url->is_string()) {
    return wrong(param + ".image_url", "must be an object with a \"url\"");
  }
  auto file = read_data_url(url->get_ref<const std::string&>(), param + ".image_url.url");
  if (auto* error = std::get_if<ApiError>(&file)) return *error;
  return ContentPart{std::get<std::string>(std::move(file)), true};
}

Read<ContentPart> read_part(const Json& part, const std::string& param) {
  const Json* type = part.is_object() ? field(part, "type") : nullptr;
  if (type == nullptr || !type->is_string()) return wrong(param, "a part needs a \"type\"");
  const auto& name = type->get_ref<const std::string&>();
  const auto other =
      std::ranges::find_if(kOtherParts, [&](const auto& one) { return name == one.first; });
  if (other != kOtherParts.end()) {
    return wrong(param + ".type",
                 fmt::format("\"{}\" is not supported here: {}", name, other->second),
                 "unsupported_parameter");
  }
  if (name != "text" && name != "refusal" && name != "image_url") {
    return wrong(param + ".type", "\"text\" and \"image_url\" are the parts understood here");
  }
  if (auto error = check_fields(part, param, {kPartFields})) return *error;
  return name == "image_url" ? read_image_part(part, param)
                             : read_text_part(part, name.c_str(), param);
}

std::optional<ApiError> read_content(const Json& message, const std::string& param,
                                     ChatTurn& turn) {
  const Json* content = field(message, "content");
  if (content == nullptr && turn.role == Turn::Role::kAssistant) return std::nullopt;
  if (content != nullptr && content->is_string()) {
    turn.text = content->get<std::string>();
    return std::nullopt;
  }
  if (content == nullptr || !content->is_array()) {
    return wrong(param + ".content", "must be a text or an array of parts");
  }
  if (content->size() > kMostParts) {
    return wrong(param + ".content",
                 fmt::format("at most {} parts are taken, not {}", kMostParts, content->size()));
  }
  std::vector<ContentPart> parts;
  for (std::size_t i = 0; i < content->size(); ++i) {
    auto part = read_part((*content)[i], fmt::format("{}.content[{}]", param, i));
    if (auto* error = std::get_if<ApiError>(&part)) return *error;
    parts.push_back(std::get<ContentPart>(std::move(part)));
  }
  set_content(std::move(parts), turn);
  return std::nullopt;
}

std::optional<ApiError> add_function(const Json& function, const std::string& param,
                                     ChatTurn& turn) {
  const bool is_object = function.is_object();
  const Json* name = is_object ? field(function, "name") : nullptr;
  const Json* arguments = is_object ? field(function, "arguments") : nullptr;
  if (name == nullptr || !name->is_string() || arguments == nullptr || !arguments->is_string()) {
    return wrong(param, "must have a \"name\" and \"arguments\", both texts");
  }
  if (auto error = check_fields(function, param, {kFunctionFields})) return error;
  add_line(
      tool_call_text(name->get_ref<const std::string&>(), arguments->get_ref<const std::string&>()),
      turn);
  return std::nullopt;
}

// Calls that the assistant made, behind its text.
std::optional<ApiError> add_calls(const Json& message, const std::string& param, ChatTurn& turn) {
  if (const Json* function = field(message, "function_call")) {
    if (auto error = add_function(*function, param + ".function_call", turn)) return error;
  }
  const Json* calls = field(message, "tool_calls");
  if (calls == nullptr) return std::nullopt;
  if (!calls->is_array() || calls->size() > kMostCalls) {
    return wrong(param + ".tool_calls",
                 fmt::format("must be an array of up to {} calls", kMostCalls));
  }
  for (std::size_t i = 0; i < calls->size(); ++i) {
    const Json& call = (*calls)[i];
    const std::string place = fmt::format("{}.tool_calls[{}]", param, i);
    const Json* function = call.is_object() ? field(call, "function") : nullptr;
    if (function == nullptr) return wrong(place, "must be an object with a \"function\"");
    if (auto error = check_fields(call, place, {kCallFields})) return error;
    if (auto error = add_function(*function, place + ".function", turn)) return error;
  }
  return std::nullopt;
}

// What only an assistant's message may have.
std::optional<ApiError> read_assistants(const Json& message, const std::string& param,
                                        ChatTurn& turn) {
  for (const char* key : {"refusal", "tool_calls", "function_call"}) {
    const Json* value = field(message, key);
    if (value == nullptr || turn.role == Turn::Role::kAssistant) continue;
    return wrong(param + "." + key, "only messages of the assistant have it");
  }
  if (field(message, "refusal") != nullptr) {
    auto text = read_text_part(message, "refusal", param);
    if (auto* error = std::get_if<ApiError>(&text)) return *error;
    add_line(std::get<ContentPart>(text).bytes, turn);
  }
  return add_calls(message, param, turn);
}

bool is_tools(const Json& message) {
  const Json* role = message.is_object() ? field(message, "role") : nullptr;
  return role != nullptr && (*role == "tool" || *role == "function");
}

Read<ChatTurn> read_turn(const Json& message, const std::string& param) {
  if (!message.is_object()) return wrong(param, "must be an object");
  ChatTurn turn;
  const Json* role = field(message, "role");
  if (role != nullptr && (*role == "system" || *role == "developer")) {
    turn.role = Turn::Role::kSystem;
  } else if (role != nullptr && *role == "assistant") {
    turn.role = Turn::Role::kAssistant;
  } else if (role == nullptr || (*role != "user" && !is_tools(message))) {
    return wrong(param + ".role",
                 "must be \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
  }
  if (auto error = check_fields(message, param, {kMessageFields})) return *error;
  if (const Json* name = field(message, "name"); name != nullptr && *name != "") {
    if (!is_tools(message)) {
      return wrong(param + ".name",
                   "\"name\" is not supported here: the chat template has none; write it into the "
                   "text",
                   "unsupported_parameter");
    }
  }
  if (auto error = read_content(message, param, turn)) return *error;
  if (auto error = read_assistants(message, param, turn)) return *error;
  if (is_tools(message)) {
    if (!turn.images.empty()) return wrong(param + ".content", "a tool's answer must be text");
    turn.text = tool_response_text(turn.text);
  }
  return turn;
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
  std::vector<ChatTurn> turns;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    auto read = read_turn((*messages)[i], fmt::format("messages[{}]", i));
    if (auto* error = std::get_if<ApiError>(&read)) return *error;
    auto& turn = std::get<ChatTurn>(read);
    if (i > 0 && is_tools((*messages)[i]) && is_tools((*messages)[i - 1])) {
      turns.back().text += '\n' + turn.text;
    } else {
      turns.push_back(std::move(turn));
    }
  }
  if (turns.back().role == Turn::Role::kAssistant) {
    const Json& last = messages->back();
    if (field(last, "tool_calls") != nullptr || field(last, "function_call") != nullptr) {
      return wrong("messages", "the last message calls tools: their answers must follow");
    }
  }
  return turns;
}

}  // namespace fvlm::net
