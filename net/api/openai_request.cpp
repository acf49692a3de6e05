#include "net/api/openai_request.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/api/fields.hpp"
#include "net/api/openai_messages.hpp"

namespace fvlm::net {
namespace {

constexpr std::size_t kMostStops = 4;
constexpr std::size_t kLongestStop = 1024;  // bytes

// Fields that would change the answer and are not implemented.
std::optional<ApiError> find_unsupported(const Json& body) {
  const auto refuse = [](const char* key, const char* allowed) {
    return wrong(key, fmt::format("\"{}\" is not supported here{}", key, allowed),
                 "unsupported_parameter");
  };
  for (const char* key : {"tools", "functions", "logit_bias"}) {
    const Json* value = field(body, key);
    if (value != nullptr && !value->empty()) return refuse(key, "");
  }
  for (const char* key : {"frequency_penalty", "presence_penalty", "top_logprobs"}) {
    const Json* value = field(body, key);
    if (value != nullptr && *value != 0) return refuse(key, ", except 0");
  }
  if (const Json* count = field(body, "n"); count != nullptr && *count != 1) {
    return refuse("n", ", except 1");
  }
  if (const Json* wanted = field(body, "logprobs"); wanted != nullptr && *wanted != false) {
    return refuse("logprobs", "");
  }
  const Json* format = field(body, "response_format");
  if (format != nullptr && *format != Json{{"type", "text"}}) {
    return refuse("response_format", ", except {\"type\": \"text\"}");
  }
  return std::nullopt;
}

std::optional<ApiError> read_sampling(const Json& body, Sampling& sampling) {
  sampling.top_k = 0;  // OpenAI has no top-k
  for (const auto& [key, to] :
       {std::pair("temperature", &sampling.temperature), {"top_p", &sampling.top_p}}) {
    const Json* value = field(body, key);
    if (value == nullptr) continue;
    if (!value->is_number()) return wrong(key, fmt::format("\"{}\" must be a number", key));
    *to = value->get<double>();
  }
  // The newer name wins if both are given.
  for (const char* key : {"max_tokens", "max_completion_tokens"}) {
    const Json* value = field(body, key);
    if (value == nullptr) continue;
    if (!value->is_number_integer() || *value < 1) {
      return wrong(key, fmt::format("\"{}\" must be a whole number above 0", key));
    }
    sampling.max_new_tokens = value->get<std::int64_t>();
  }
  if (const Json* seed = field(body, "seed")) {
    if (!seed->is_number_integer()) return wrong("seed", "\"seed\" must be a whole number");
    sampling.seed = static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
  if (std::string problem = sampling.problem(); !problem.empty()) return wrong({}, problem);
  return std::nullopt;
}

std::optional<ApiError> read_stop(const Json& body, std::vector<std::string>& stop) {
  const Json* value = field(body, "stop");
  if (value == nullptr) return std::nullopt;
  const Json texts = value->is_array() ? *value : Json::array({*value});
  for (const Json& text : texts) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty() ||
        stop.size() == kMostStops) {
      return wrong("stop", "\"stop\" must be a text or up to four");
    }
    stop.push_back(text.get<std::string>());
    if (stop.back().size() > kLongestStop) {
      return wrong("stop", fmt::format("a text of \"stop\" may have {} bytes", kLongestStop));
    }
  }
  return std::nullopt;
}

std::optional<ApiError> read_stream(const Json& body, ChatRequest& request) {
  if (const Json* stream = field(body, "stream")) {
    if (!stream->is_boolean()) return wrong("stream", "\"stream\" must be true or false");
    request.stream = stream->get<bool>();
  }
  const Json* options = field(body, "stream_options");
  if (options == nullptr) return std::nullopt;
  if (!request.stream || !options->is_object()) {
    return wrong("stream_options", "\"stream_options\" must be an object, beside \"stream\": true");
  }
  const Json* usage = field(*options, "include_usage");
  request.include_usage = usage != nullptr && *usage == true;
  return std::nullopt;
}

}  // namespace

std::variant<ChatRequest, ApiError> read_chat_request(std::string_view text) {
  const auto [body, problem] = parse_object(text);
  if (!problem.empty()) return wrong({}, "the body " + problem);
  ChatRequest request;
  const Json* model = field(body, "model");
  if (model == nullptr || !model->is_string()) return wrong("model", "\"model\" must be a text");
  request.model = model->get<std::string>();
  auto turns = read_turns(body);
  if (auto* error = std::get_if<ApiError>(&turns)) return *error;
  request.turns = std::get<std::vector<ChatTurn>>(std::move(turns));
  if (auto error = find_unsupported(body)) return *error;
  if (auto error = read_sampling(body, request.sampling)) return *error;
  if (auto error = read_stop(body, request.stop)) return *error;
  if (auto error = read_stream(body, request)) return *error;
  return request;
}

}  // namespace fvlm::net
