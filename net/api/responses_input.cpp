#include "net/api/responses_input.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "net/api/data_url.hpp"
#include "net/api/tool_text.hpp"
#include "net/api/turns.hpp"

namespace fvlm::net {
namespace {

constexpr const char* kIdsAreNotKept =
    "this server stores nothing: its id names it in what was sent";

constexpr std::array kItemMessageFields = {
    KnownField{"type"},
    KnownField{"role"},
    KnownField{"content"},
    KnownField{"id", kAnything, kIdsAreNotKept},
    KnownField{"status", kAnything, "the text is taken as it is"},
    KnownField{"phase", kAnything, "the chat template has no place for it"},
};
constexpr std::array kItemCallFields = {
    KnownField{"type"},
    KnownField{"name"},
    KnownField{"arguments"},
    KnownField{"call_id", kAnything, "the chat template tells outputs by their order"},
    KnownField{"id", kAnything, kIdsAreNotKept},
    KnownField{"status", kAnything, "the call is taken as it is"},
};
constexpr std::array kItemOutputFields = {
    KnownField{"type"},
    KnownField{"output"},
    KnownField{"call_id", kAnything, "the chat template tells outputs by their order"},
    KnownField{"id", kAnything, kIdsAreNotKept},
    KnownField{"status", kAnything, "the output is taken as it is"},
};
constexpr std::array kItemPartFields = {
    KnownField{"type"},
    KnownField{"text"},
    KnownField{"refusal"},
    KnownField{"image_url"},
    KnownField{"detail", R"(["auto", "low", "high"])", "a picture always has the same detail"},
    KnownField{"file_id", "[]", "send the picture itself as \"image_url\""},
    KnownField{"annotations", kAnything, "they are about the text, which is there"},
    KnownField{"logprobs", kAnything, "they are about the text, which is there"},
    KnownField{"prompt_cache_breakpoint", kAnything,
               "what prompts have in common is cached anyway"},
};

class InputReader {
 public:
  std::optional<ApiError> read(const Json& item, const std::string& place) {
    if (!item.is_object()) return wrong(place, "must be an object");
    const Json* type = field(item, "type");
    const std::string name = type == nullptr     ? "message"
                             : type->is_string() ? type->get<std::string>()
                                                 : "";
    if (name == "message") return read_message(item, place);
    if (name == "function_call") return read_call(item, place);
    if (name == "function_call_output") return read_output(item, place);
    return wrong(place + ".type",
                 "\"message\", \"function_call\" and \"function_call_output\" are the items "
                 "understood here",
                 "unsupported_parameter");
  }

  void add_system(std::string text) {
    turns_.push_back({.role = Turn::Role::kSystem, .text = std::move(text)});
  }
  void add_user(std::string text) { turns_.push_back({.text = std::move(text)}); }

  Read<std::vector<ChatTurn>> finish() {
    if (last_ == Last::kCall) {
      return wrong("input", "the last item calls a function: its output must follow");
    }
    return std::move(turns_);
  }

 private:
  enum class Last { kMessage, kCall, kOutput };

  std::optional<ApiError> read_message(const Json& item, const std::string& place) {
    const Json* role = field(item, "role");
    ChatTurn turn;
    if (role != nullptr && (*role == "system" || *role == "developer")) {
      turn.role = Turn::Role::kSystem;
    } else if (role != nullptr && *role == "assistant") {
      turn.role = Turn::Role::kAssistant;
    } else if (role == nullptr || *role != "user") {
      return wrong(place + ".role", "must be \"system\", \"developer\", \"user\" or \"assistant\"");
    }
    if (auto error = check_fields(item, place, {kItemMessageFields})) return error;
    if (auto error = read_content(item, place + ".content", turn)) return error;
    turns_.push_back(std::move(turn));
    last_ = Last::kMessage;
    return std::nullopt;
  }

  std::optional<ApiError> read_content(const Json& item, const std::string& place, ChatTurn& turn) {
    const Json* content = field(item, "content");
    if (content != nullptr && content->is_string()) {
      turn.text = content->get<std::string>();
      return std::nullopt;
    }
    if (content == nullptr || !content->is_array() || content->size() > kMostParts) {
      return wrong(place, fmt::format("must be a text or an array of up to {} parts", kMostParts));
    }
    std::vector<ContentPart> parts;
    for (std::size_t i = 0; i < content->size(); ++i) {
      auto part = read_part((*content)[i], fmt::format("{}[{}]", place, i));
      if (auto* error = std::get_if<ApiError>(&part)) return *error;
      parts.push_back(std::get<ContentPart>(std::move(part)));
    }
    set_content(std::move(parts), turn);
    return std::nullopt;
  }

  static Read<ContentPart> read_part(const Json& part, const std::string& place) {
    const Json* type = part.is_object() ? field(part, "type") : nullptr;
    if (type == nullptr || !type->is_string()) return wrong(place, "a part needs a \"type\"");
    const bool is_refusal = *type == "refusal";
    if (!is_refusal && *type != "input_text" && *type != "output_text" && *type != "input_image") {
      return wrong(place + ".type",
                   "\"input_text\", \"input_image\" and \"output_text\" are the parts understood "
                   "here; pages and frames of videos may be sent as pictures",
                   "unsupported_parameter");
    }
    if (auto error = check_fields(part, place, {kItemPartFields})) return *error;
    if (*type == "input_image") return read_image(part, place);
    const char* key = is_refusal ? "refusal" : "text";
    const Json* text = field(part, key);
    if (text == nullptr || !text->is_string()) return wrong(place + "." + key, "must be a text");
    return ContentPart{text->get<std::string>()};
  }

  static Read<ContentPart> read_image(const Json& part, const std::string& place) {
    const Json* url = field(part, "image_url");
    if (url == nullptr || !url->is_string()) {
      return wrong(place + ".image_url", "must be a text, \"data:image/jpeg;base64,...\"");
    }
    auto file = read_data_url(url->get_ref<const std::string&>(), place + ".image_url");
    if (auto* error = std::get_if<ApiError>(&file)) return *error;
    return ContentPart{std::get<std::string>(std::move(file)), true};
  }

  // Calls belong to the assistant's turn, behind its text.
  std::optional<ApiError> read_call(const Json& item, const std::string& place) {
    const Json* name = field(item, "name");
    const Json* arguments = field(item, "arguments");
    if (name == nullptr || !name->is_string() || arguments == nullptr || !arguments->is_string()) {
      return wrong(place, "must have a \"name\" and \"arguments\", both texts");
    }
    if (auto error = check_fields(item, place, {kItemCallFields})) return error;
    if (turns_.empty() || turns_.back().role != Turn::Role::kAssistant) {
      turns_.push_back({.role = Turn::Role::kAssistant});
    }
    add_line(tool_call_text(name->get_ref<const std::string&>(),
                            arguments->get_ref<const std::string&>()),
             turns_.back());
    last_ = Last::kCall;
    return std::nullopt;
  }

  std::optional<ApiError> read_output(const Json& item, const std::string& place) {
    const Json* output = field(item, "output");
    if (output == nullptr || !output->is_string())
      return wrong(place + ".output", "must be a text");
    if (auto error = check_fields(item, place, {kItemOutputFields})) return error;
    add_tool_response(output->get_ref<const std::string&>(), last_ == Last::kOutput, turns_);
    last_ = Last::kOutput;
    return std::nullopt;
  }

  std::vector<ChatTurn> turns_;
  Last last_ = Last::kMessage;
};

}  // namespace

Read<std::vector<ChatTurn>> read_input(const Json& body) {
  InputReader reader;
  std::string instructions;
  if (auto error = read_text(body, "instructions", instructions)) return *error;
  if (!instructions.empty()) reader.add_system(std::move(instructions));
  const Json* input = field(body, "input");
  if (input != nullptr && input->is_string()) {
    reader.add_user(input->get<std::string>());
    return reader.finish();
  }
  if (input == nullptr || !input->is_array() || input->empty() || input->size() > kMostMessages) {
    return wrong("input",
                 fmt::format("must be a text or an array of up to {} items", kMostMessages));
  }
  for (std::size_t i = 0; i < input->size(); ++i) {
    if (auto error = reader.read((*input)[i], fmt::format("input[{}]", i))) return *error;
  }
  return reader.finish();
}

}  // namespace fvlm::net
