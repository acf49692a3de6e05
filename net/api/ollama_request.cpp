#include "net/api/ollama_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/api/data_url.hpp"
#include "net/api/ollama_answer.hpp"
#include "net/api/ollama_options.hpp"
#include "net/api/tool_text.hpp"
#include "net/api/tools.hpp"
#include "net/api/turns.hpp"

namespace fvlm::net {
namespace {

constexpr const char* kByOrder = "the chat template tells answers by their order";

// The last three are not Ollama's: LLM Vision sends them along.
constexpr std::array kChatFields = {
    KnownField{"messages"},
    KnownField{"tools"},
    KnownField{"system"},
    KnownField{"images"},
    KnownField{"prompt", R"(["", []])", "/api/generate takes it"},
};
constexpr std::array kGenerateFields = {
    KnownField{"prompt"},
    KnownField{"system"},
    KnownField{"images"},
    KnownField{"raw"},
    KnownField{"suffix", R"([""])", "this model does not fill in the middle"},
    KnownField{"template", R"([""])", "that of the model is used; \"raw\" takes a whole prompt"},
    KnownField{"context", "[[]]", "send the conversation to /api/chat"},
    KnownField{"width", "[0]"},
    KnownField{"height", "[0]"},
    KnownField{"steps", "[0]"},
};
constexpr std::array kOllamaMessageFields = {
    KnownField{"role"},
    KnownField{"content"},
    KnownField{"images"},
    KnownField{"tool_calls"},
    KnownField{"name"},
    KnownField{"tool_name", kAnything, kByOrder},
    KnownField{"tool_call_id", kAnything, kByOrder},
    KnownField{"thinking", R"([""])", "the chat template has no place for it"},
};
constexpr std::array kOllamaCallFields = {
    KnownField{"id", kAnything, kByOrder},
    KnownField{"type", R"(["function"])"},
    KnownField{"function"},
};
constexpr std::array kOllamaFunctionFields = {
    KnownField{"name"},
    KnownField{"arguments"},
    KnownField{"description", kAnything, "it is the tool's"},
    KnownField{"index", kAnything, "calls are in an array"},
};

// Base64, also behind "data:image/jpeg;base64,".
std::optional<ApiError> add_ollama_images(const Json& object, const std::string& place,
                                          ChatTurn& turn) {
  const Json* images = field(object, "images");
  if (images == nullptr) return std::nullopt;
  if (!images->is_array()) return wrong(place, "must be an array of images in Base64");
  for (std::size_t i = 0; i < images->size(); ++i) {
    const std::string at = fmt::format("{}[{}]", place, i);
    if (!(*images)[i].is_string()) return wrong(at, "must be an image in Base64");
    const auto& text = (*images)[i].get_ref<const std::string&>();
    if (text.starts_with("data:")) {
      auto file = read_data_url(text, at);
      if (auto* error = std::get_if<ApiError>(&file)) return *error;
      turn.images.push_back(std::get<std::string>(std::move(file)));
      continue;
    }
    auto file = read_base64(text);
    if (!file || file->empty()) return wrong(at, "must be an image in Base64");
    turn.images.push_back(*std::move(file));
  }
  return std::nullopt;
}

// Arguments are an object.
std::optional<ApiError> add_ollama_calls(const Json& message, const std::string& place,
                                         ChatTurn& turn) {
  const Json* calls = field(message, "tool_calls");
  if (calls == nullptr) return std::nullopt;
  if (turn.role != Turn::Role::kAssistant) {
    return wrong(place, "only messages of the assistant have it");
  }
  if (!calls->is_array() || calls->size() > kMostCalls) {
    return wrong(place, fmt::format("must be an array of up to {} calls", kMostCalls));
  }
  for (std::size_t i = 0; i < calls->size(); ++i) {
    const Json& call = (*calls)[i];
    const std::string at = fmt::format("{}[{}]", place, i);
    const Json* function = call.is_object() ? field(call, "function") : nullptr;
    const bool is_object = function != nullptr && function->is_object();
    const Json* name = is_object ? field(*function, "name") : nullptr;
    const Json* arguments = is_object ? field(*function, "arguments") : nullptr;
    if (name == nullptr || !name->is_string() ||
        (arguments != nullptr && !arguments->is_object())) {
      return wrong(at + ".function", "must have a \"name\" and \"arguments\", which are an object");
    }
    if (auto error = check_fields(call, at, {kOllamaCallFields})) return error;
    if (auto error = check_fields(*function, at + ".function", {kOllamaFunctionFields}))
      return error;
    add_line(tool_call_text(name->get_ref<const std::string&>(),
                            arguments == nullptr ? "{}" : dump(*arguments)),
             turn);
  }
  return std::nullopt;
}

std::optional<Turn::Role> ollama_role(const Json& role) {
  if (role == "system") return Turn::Role::kSystem;
  if (role == "assistant") return Turn::Role::kAssistant;
  if (role == "user" || role == "tool") return Turn::Role::kUser;
  return std::nullopt;
}

class OllamaConversation {
 public:
  std::optional<ApiError> add(const Json& message, const std::string& place) {
    const Json* named = message.is_object() ? field(message, "role") : nullptr;
    const auto role = named == nullptr ? std::nullopt : ollama_role(*named);
    if (!role) {
      return wrong(place + ".role", "must be \"system\", \"user\", \"assistant\" or \"tool\"");
    }
    const bool is_tool = *named == "tool";
    if (auto error = check_fields(message, place, {kOllamaMessageFields})) return error;
    if (field(message, "name") != nullptr && !is_tool) {
      return wrong(place + ".name", "the chat template has none; write it into the text",
                   "unsupported_parameter");
    }
    ChatTurn turn{.role = *role};
    if (const Json* content = field(message, "content")) {
      if (!content->is_string()) return wrong(place + ".content", "must be a text");
      turn.text = content->get<std::string>();
    }
    if (auto error = add_ollama_images(message, place + ".images", turn)) return error;
    if (auto error = add_ollama_calls(message, place + ".tool_calls", turn)) return error;
    if (is_tool) {
      if (!turn.images.empty()) return wrong(place + ".images", "a tool's answer must be text");
      add_tool_response(turn.text, after_tool_, turns_);
    } else {
      turns_.push_back(std::move(turn));
    }
    after_tool_ = is_tool;
    return std::nullopt;
  }

  std::vector<ChatTurn> take() { return std::move(turns_); }

 private:
  std::vector<ChatTurn> turns_;
  bool after_tool_ = false;
};

// Beside the messages, "images" may only repeat theirs.
std::optional<ApiError> check_repeated_images(const Json& body, const Json& messages) {
  const Json* images = field(body, "images");
  if (images == nullptr) return std::nullopt;
  if (!images->is_array()) return wrong("images", "\"images\" must be an array");
  std::set<std::string_view> known;
  for (const Json& message : messages) {
    const Json* own = field(message, "images");
    if (own == nullptr) continue;
    for (const Json& image : *own) known.insert(image.get_ref<const std::string&>());
  }
  for (const Json& image : *images) {
    if (!image.is_string() || !known.contains(image.get_ref<const std::string&>())) {
      return wrong("images", "\"images\" belong into a message of the user",
                   "unsupported_parameter");
    }
  }
  return std::nullopt;
}

std::optional<ApiError> read_messages(const Json& body, ChatRequest& request) {
  const Json* messages = field(body, "messages");
  const Json none = Json::array();
  if (messages == nullptr) messages = &none;
  if (!messages->is_array() || messages->size() > kMostMessages) {
    return wrong("messages",
                 fmt::format("\"messages\" must be an array of up to {}", kMostMessages));
  }
  OllamaConversation conversation;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    if (auto error = conversation.add((*messages)[i], fmt::format("messages[{}]", i))) return error;
  }
  request.turns = conversation.take();
  if (auto error = check_repeated_images(body, *messages)) return error;
  std::string system;
  if (auto error = read_text(body, "system", system)) return error;
  if (!system.empty() && !request.turns.empty()) {
    request.turns.insert(request.turns.begin(),
                         {.role = Turn::Role::kSystem, .text = std::move(system)});
  }
  if (!messages->empty() && field(messages->back(), "tool_calls") != nullptr) {
    return wrong("messages", "the last message calls tools: their answers must follow");
  }
  return std::nullopt;
}

std::optional<ApiError> read_prompt(const Json& body, ChatRequest& request) {
  std::string prompt;
  std::string system;
  bool raw = false;
  if (auto error = read_text(body, "prompt", prompt)) return error;
  if (auto error = read_text(body, "system", system)) return error;
  if (auto error = read_flag(body, "raw", raw)) return error;
  ChatTurn turn{.text = std::move(prompt)};
  if (auto error = add_ollama_images(body, "images", turn)) return error;
  if (raw) {
    if (!turn.images.empty() || !system.empty()) {
      const char* which = system.empty() ? "images" : "system";
      return wrong(which, fmt::format("\"{}\" is not supported beside \"raw\"", which),
                   "unsupported_parameter");
    }
    if (!turn.text.empty()) request.raw.emplace_back(std::move(turn.text));
    return std::nullopt;
  }
  if (turn.text.empty() && turn.images.empty()) return std::nullopt;
  if (!system.empty()) {
    request.turns.push_back({.role = Turn::Role::kSystem, .text = std::move(system)});
  }
  request.turns.push_back(std::move(turn));
  return std::nullopt;
}

// A request without messages or prompt has a model loaded, which it must name.
std::optional<ApiError> check_load(const ChatRequest& request, const char* what) {
  if (!request.turns.empty() || !request.raw.empty() || !request.model.empty()) return std::nullopt;
  return wrong("model",
               fmt::format("there is neither \"{}\" to answer nor a \"model\" to load", what));
}

ApiRequest with_writer(ChatRequest request, const Json& body, OllamaAnswer shape) {
  const Json* keep_alive = field(body, "keep_alive");
  shape.unloads = keep_alive != nullptr && (*keep_alive == 0 || *keep_alive == "0" ||
                                            *keep_alive == "0s" || *keep_alive == "0m");
  shape.include_logprobs = request.sampling.logprobs.has_value();
  return {std::move(request), write_ollama(shape)};
}

}  // namespace

Read<ApiRequest> read_ollama_chat(std::string_view text, const ChatLimits& limits) {
  const auto [body, problem] = parse_object(text);
  if (!problem.empty()) return wrong({}, "the body " + problem);
  ChatRequest request;
  if (auto error = check_fields(body, "", {ollama_fields(), kChatFields})) return *error;
  if (auto error = read_ollama_settings(body, limits, request)) return *error;
  if (auto error = read_messages(body, request)) return *error;
  if (auto error = check_load(request, "messages")) return *error;
  if (!request.turns.empty()) {
    if (auto error = read_tools(body, request)) return *error;
  }
  return with_writer(std::move(request), body, {.is_chat = true});
}

Read<ApiRequest> read_ollama_generate(std::string_view text, const ChatLimits& limits) {
  const auto [body, problem] = parse_object(text);
  if (!problem.empty()) return wrong({}, "the body " + problem);
  ChatRequest request;
  if (auto error = check_fields(body, "", {ollama_fields(), kGenerateFields})) return *error;
  if (auto error = read_ollama_settings(body, limits, request)) return *error;
  if (auto error = read_prompt(body, request)) return *error;
  if (auto error = check_load(request, "prompt")) return *error;
  return with_writer(std::move(request), body, {.is_chat = false});
}

}  // namespace fvlm::net
