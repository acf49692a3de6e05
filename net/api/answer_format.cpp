#include "net/api/answer_format.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace fvlm::net {
namespace {

constexpr std::array kAnswerFormatFields = {
    KnownField{"response_format"},
    KnownField{"guided_json"},
    KnownField{"guided_regex"},
    KnownField{"guided_choice"},
    KnownField{"structured_outputs"},
    KnownField{"guided_grammar", "[]", "\"guided_regex\" and \"guided_json\" are"},
    KnownField{"guided_whitespace_pattern", "[]"},
    KnownField{"guided_decoding_backend", "[\"auto\"]"},
};
constexpr std::array kResponseFormatFields = {KnownField{"type"}, KnownField{"json_schema"}};
constexpr std::array kJsonSchemaFields = {
    KnownField{"name", kAnything, "it names the schema"},
    KnownField{"description", kAnything, "it is for the reader"},
    KnownField{"schema"},
    KnownField{"strict", "[true, false]", "an answer follows its schema either way"},
};
constexpr std::array kStructuredFields = {
    KnownField{"json"},
    KnownField{"regex"},
    KnownField{"choice"},
    KnownField{"json_object"},
    KnownField{"grammar", "[]", "\"regex\" and \"json\" are"},
    KnownField{"structural_tag", "[]"},
    KnownField{"whitespace_pattern", "[]"},
    KnownField{"disable_fallback", "[false, true]"},
    KnownField{"disable_any_whitespace", "[false]"},
    KnownField{"disable_additional_properties", "[false]"},
};

using Result = std::optional<ApiError>;

// Sets the grammar that `make` makes of the field `param`.
template <class Make>
Result set_grammar(const std::string& param, ChatRequest& request, const Make& make) {
  if (request.grammar) {
    return wrong(
        param,
        fmt::format("\"{}\" stands beside another field that says the answer's form", param));
  }
  try {
    request.grammar = make();
    return std::nullopt;
  } catch (const Error& error) {
    return wrong(param, fmt::format("\"{}\": {}", param, error.what()));
  }
}

Result read_regex(const Json& expression, const std::string& param, ChatRequest& request) {
  if (!expression.is_string()) return wrong(param, fmt::format("\"{}\" must be a text", param));
  return set_grammar(param, request,
                     [&] { return Grammar::regex(expression.get_ref<const std::string&>()); });
}

Result read_choice(const Json& texts, const std::string& param, ChatRequest& request) {
  std::vector<std::string> choices;
  if (texts.is_array()) {
    for (const Json& text : texts) {
      if (text.is_string()) choices.push_back(text.get<std::string>());
    }
  }
  if (choices.empty() || choices.size() != texts.size()) {
    return wrong(param, fmt::format("\"{}\" must be an array of texts", param));
  }
  return set_grammar(param, request, [&] { return Grammar::choice(choices); });
}

}  // namespace

std::optional<ApiError> set_json_object(const std::string& param, ChatRequest& request) {
  return set_grammar(param, request, [] { return Grammar::json_object(); });
}

std::optional<ApiError> set_json_schema(const Json& schema, const std::string& param,
                                        ChatRequest& request) {
  return set_grammar(param, request, [&] {
    return Grammar::json_schema(schema.is_string() ? schema.get<std::string>() : dump(schema));
  });
}

namespace {

Result read_response_format(const Json& format, ChatRequest& request) {
  const std::string param = "response_format";
  const Json* type = format.is_object() ? field(format, "type") : nullptr;
  if (type == nullptr || !type->is_string()) {
    return wrong(param, "\"response_format\" must be an object with a \"type\"");
  }
  if (auto error = check_fields(format, param, {kResponseFormatFields})) return error;
  if (*type == "text") return std::nullopt;
  if (*type == "json_object") {
    return set_json_object(param, request);
  }
  if (*type != "json_schema") {
    return wrong("response_format.type", "must be \"text\", \"json_object\" or \"json_schema\"");
  }
  const Json* named = field(format, "json_schema");
  const Json* schema = named != nullptr && named->is_object() ? field(*named, "schema") : nullptr;
  if (schema == nullptr) {
    return wrong("response_format.json_schema", "must be an object with a \"schema\"");
  }
  if (auto error = check_fields(*named, "response_format.json_schema", {kJsonSchemaFields}))
    return error;
  return set_json_schema(*schema, "response_format.json_schema.schema", request);
}

// vLLM's newer name, for all of them.
Result read_structured_outputs(const Json& outputs, ChatRequest& request) {
  const std::string param = "structured_outputs";
  if (!outputs.is_object()) return wrong(param, "\"structured_outputs\" must be an object");
  if (auto error = check_fields(outputs, param, {kStructuredFields})) return error;
  bool any_object = false;
  if (auto error = read_flag(outputs, "json_object", any_object)) return error;
  if (any_object) {
    if (auto error = set_json_object(param, request)) return error;
  }
  for (const auto& [key, read] :
       {std::pair("json", &set_json_schema), std::pair("regex", &read_regex),
        std::pair("choice", &read_choice)}) {
    const Json* value = field(outputs, key);
    if (value == nullptr) continue;
    if (auto error = read(*value, fmt::format("structured_outputs.{}", key), request)) return error;
  }
  return std::nullopt;
}

}  // namespace

std::span<const KnownField> answer_format_fields() {
  return kAnswerFormatFields;
}

std::optional<ApiError> read_answer_format(const Json& body, ChatRequest& request) {
  if (const Json* format = field(body, "response_format")) {
    if (auto error = read_response_format(*format, request)) return error;
  }
  for (const auto& [key, read] :
       {std::pair("guided_json", &set_json_schema), std::pair("guided_regex", &read_regex),
        std::pair("guided_choice", &read_choice)}) {
    const Json* value = field(body, key);
    if (value == nullptr) continue;
    if (auto error = read(*value, key, request)) return error;
  }
  const Json* outputs = field(body, "structured_outputs");
  return outputs == nullptr ? std::nullopt : read_structured_outputs(*outputs, request);
}

}  // namespace fvlm::net
