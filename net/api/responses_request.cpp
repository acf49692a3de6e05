#include "net/api/responses_request.hpp"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "net/api/answer_format.hpp"
#include "net/api/responses_answer.hpp"
#include "net/api/responses_input.hpp"
#include "net/api/sampling_fields.hpp"
#include "net/api/tools.hpp"

namespace fvlm::net {
namespace {

constexpr const char* kNotStored = "nothing is stored: send the conversation as \"input\"";
constexpr const char* kCachedAnyway = "what prompts have in common is cached anyway";
constexpr const char* kForLists = "it is for lists of stored responses, which there are none of";

// Beside those of sampling.
constexpr std::array kResponsesFields = {
    KnownField{"model"},
    KnownField{"input"},
    KnownField{"instructions"},
    KnownField{"max_output_tokens"},
    KnownField{"text"},
    KnownField{"tools"},
    KnownField{"tool_choice"},
    KnownField{"include"},
    KnownField{"top_logprobs"},
    KnownField{"stream"},
    KnownField{"stream_options", R"([{}, {"include_obfuscation": false}])"},
    KnownField{"parallel_tool_calls", kAnything, "an answer has one call"},
    KnownField{"max_tool_calls", kAnything, "it limits tools that a server runs"},
    KnownField{"store", kAnything, kForLists},
    KnownField{"metadata", kAnything, kForLists},
    KnownField{"user", kAnything, "it names who asks"},
    KnownField{"safety_identifier", kAnything, "it names who asks"},
    KnownField{"prompt_cache_key", kAnything, kCachedAnyway},
    KnownField{"prompt_cache_options", kAnything, kCachedAnyway},
    KnownField{"prompt_cache_retention", kAnything, kCachedAnyway},
    KnownField{"previous_response_id", "[]", kNotStored},
    KnownField{"conversation", "[]", kNotStored},
    KnownField{"prompt", "[]", kNotStored},
    KnownField{"background", "[false]", "\"stream\" shows an answer while it is made"},
    KnownField{"background_options", "[{}]"},
    KnownField{"truncation", R"(["disabled"])", "a prompt that is too long is refused, never cut"},
    KnownField{"reasoning", R"([{}, {"effort": "none"}])", "this model does not reason first"},
    KnownField{"service_tier", R"(["auto", "default"])"},
    KnownField{"context_management", "[[]]"},
    KnownField{"moderation", "[]"},
    KnownField{"access_programs", "[]"},
};
constexpr std::array kResponseTextFields = {
    KnownField{"format"},
    KnownField{"verbosity", R"(["medium"])", "ask for it in the input"},
};
constexpr std::array kResponseTextFormatFields = {
    KnownField{"type"},
    KnownField{"schema"},
    KnownField{"name", kAnything, "it names the schema"},
    KnownField{"description", kAnything, "it is for the reader"},
    KnownField{"strict", "[true, false]", "an answer follows its schema either way"},
};
constexpr std::array kResponseToolFields = {
    KnownField{"type", R"(["function"])"},
    KnownField{"name"},
    KnownField{"description"},
    KnownField{"parameters"},
    KnownField{"strict", "[true, false]", "arguments follow their schema either way"},
    KnownField{"output_schema", kAnything, "the output is taken as it is"},
};
constexpr std::array kResponseChoiceFields = {KnownField{"type", R"(["function"])"},
                                              KnownField{"name"}};

std::optional<ApiError> read_text_format(const Json& body, ChatRequest& request) {
  const Json* text = field(body, "text");
  if (text == nullptr) return std::nullopt;
  if (!text->is_object()) return wrong("text", "\"text\" must be an object");
  if (auto error = check_fields(*text, "text", {kResponseTextFields})) return error;
  const Json* format = field(*text, "format");
  if (format == nullptr) return std::nullopt;
  const std::string place = "text.format";
  const Json* type = format->is_object() ? field(*format, "type") : nullptr;
  if (type == nullptr) return wrong(place, "\"text.format\" must be an object with a \"type\"");
  if (auto error = check_fields(*format, place, {kResponseTextFormatFields})) return error;
  if (*type == "text") return std::nullopt;
  if (*type == "json_object") return set_json_object(place, request);
  if (*type != "json_schema") {
    return wrong(place + ".type", "must be \"text\", \"json_object\" or \"json_schema\"");
  }
  const Json* schema = field(*format, "schema");
  if (schema == nullptr) return wrong(place + ".schema", "a \"json_schema\" needs a \"schema\"");
  return set_json_schema(*schema, place + ".schema", request);
}

constexpr std::string_view kFunction = ".function";

// A tool has the members of its function beside its type. read_tools() wants them in a
// "function", as chat completions have them.
Read<Json> tools_of_chat(const Json& body) {
  Json chat = Json::object();
  if (const Json* tools = field(body, "tools")) {
    chat["tools"] = *tools;
    for (std::size_t i = 0; tools->is_array() && i < tools->size(); ++i) {
      const Json& tool = (*tools)[i];
      const std::string place = "tools[" + std::to_string(i) + "]";
      if (!tool.is_object()) return wrong(place, "must be an object");
      if (auto error = check_fields(tool, place, {kResponseToolFields})) return *error;
      Json function = tool;
      function.erase("type");
      function.erase("output_schema");
      chat["tools"][i] = {{"type", "function"}, {"function", std::move(function)}};
    }
  }
  if (const Json* choice = field(body, "tool_choice")) {
    chat["tool_choice"] = *choice;
    if (choice->is_object()) {
      if (auto error = check_fields(*choice, "tool_choice", {kResponseChoiceFields})) return *error;
      Json function = *choice;
      function.erase("type");
      chat["tool_choice"] = {{"type", "function"}, {"function", std::move(function)}};
    }
  }
  return chat;
}

// Log probabilities are asked for in a list of what to include.
std::optional<ApiError> read_include(const Json& body, ChatRequest& request) {
  bool logprobs = false;
  if (const Json* include = field(body, "include")) {
    const Json names = include->is_array() ? *include : Json::array({*include});
    for (const Json& name : names) {
      if (name == "message.output_text.logprobs") {
        logprobs = true;
      } else if (name != "reasoning.encrypted_content") {  // there is no reasoning
        return wrong("include",
                     "\"include\" is not supported here, except \"message.output_text.logprobs\"",
                     "unsupported_parameter");
      }
    }
  }
  const Json* top = field(body, "top_logprobs");
  if (top != nullptr && *top == 0 && !logprobs) return std::nullopt;
  if (top != nullptr && !logprobs) {
    return wrong("top_logprobs",
                 "\"top_logprobs\" needs \"include\": [\"message.output_text.logprobs\"]");
  }
  if (!logprobs) return std::nullopt;
  return read_logprobs({{"logprobs", true}, {"top_logprobs", top == nullptr ? Json(0) : *top}},
                       request);
}

}  // namespace

Read<ApiRequest> read_response_request(std::string_view text, const ChatLimits& limits) {
  const auto [body, problem] = parse_object(text);
  if (!problem.empty()) return wrong({}, "the body " + problem);
  ChatRequest request;
  if (auto error = read_text(body, "model", request.model)) return *error;
  if (auto error = check_fields(body, "", {kResponsesFields, sampling_fields()})) return *error;
  auto turns = read_input(body);
  if (auto* error = std::get_if<ApiError>(&turns)) return *error;
  request.turns = std::get<std::vector<ChatTurn>>(std::move(turns));
  if (auto error = read_sampling(body, limits, request)) return *error;
  if (auto error = read_max_tokens(body, {"max_output_tokens"}, limits, request)) return *error;
  if (auto error = read_include(body, request)) return *error;
  if (auto error = read_text_format(body, request)) return *error;
  const auto tools = tools_of_chat(body);
  if (const auto* error = std::get_if<ApiError>(&tools)) return *error;
  if (auto error = read_tools(std::get<Json>(tools), request)) {
    const std::size_t function = error->param.find(kFunction);
    if (function != error->param.npos) error->param.erase(function, kFunction.size());
    return *error;
  }
  if (auto error = read_flag(body, "stream", request.stream)) return *error;
  auto writer = write_response(body, request.sampling);
  return ApiRequest{std::move(request), std::move(writer)};
}

}  // namespace fvlm::net
