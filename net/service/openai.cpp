#include "net/service/openai.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "net/protocol/base64.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {
namespace {

// More than any conversation that fits into a model's context has.
constexpr std::size_t kMostMessages = 8192;
constexpr std::size_t kMostParts = 1024;  // of a message
constexpr std::size_t kMostImages = 16;   // of all messages
constexpr std::size_t kMostStops = 4;
constexpr std::size_t kLongestStop = 1024;  // bytes

// A value, or what is wrong with it.
template <class T>
using Read = std::variant<T, ApiError>;

ApiError wrong(std::string param, std::string message, std::string code = {}) {
  return {.message = std::move(message), .param = std::move(param), .code = std::move(code)};
}

Json error_object(const ApiError& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json() : Json(text);
  };
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

// The field of an object; null counts as absent.
const Json* field(const Json& object, const char* key) {
  const auto value = object.find(key);
  return value == object.end() || value->is_null() ? nullptr : &*value;
}

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

Json usage_object(const Statistics& statistics) {
  return {{"prompt_tokens", statistics.prompt_tokens},
          {"completion_tokens", statistics.new_tokens},
          {"total_tokens", statistics.prompt_tokens + statistics.new_tokens},
          {"prompt_tokens_details", {{"cached_tokens", statistics.cached_tokens}}}};
}

Json model_object(std::string_view name, std::int64_t created) {
  return {{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "fastvlm"}};
}

std::string event(const Json& data) {
  return "data: " + dump(data) + "\n\n";
}

Json choice(const char* key, Json value, Json finish_reason) {
  return Json::array({{{"index", 0},
                       {key, std::move(value)},
                       {"logprobs", nullptr},
                       {"finish_reason", std::move(finish_reason)}}});
}

std::string chunk(const ChatAnswer& answer, Json choices, Json usage = nullptr) {
  Json data = {{"id", answer.id},
               {"object", "chat.completion.chunk"},
               {"created", answer.created},
               {"model", answer.model},
               {"choices", std::move(choices)}};
  if (answer.include_usage) data["usage"] = std::move(usage);
  return event(data);
}

}  // namespace

HttpResponse error_response(const ApiError& error) {
  HttpResponse response{error.status, "application/json", dump(error_object(error)), {}};
  response.reason = error.code.empty() ? "bad_request" : error.code;
  response.detail = error.message;
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

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

std::string write_answer(const ChatAnswer& answer, std::string_view text,
                         std::string_view finish_reason, const Statistics& statistics) {
  return dump({{"id", answer.id},
               {"object", "chat.completion"},
               {"created", answer.created},
               {"model", answer.model},
               {"choices",
                choice("message", {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}},
                       finish_reason)},
               {"usage", usage_object(statistics)}});
}

std::string first_event(const ChatAnswer& answer) {
  return chunk(answer, choice("delta", {{"role", "assistant"}, {"content", ""}}, nullptr));
}

std::string text_event(const ChatAnswer& answer, std::string_view text) {
  return chunk(answer, choice("delta", {{"content", text}}, nullptr));
}

std::string last_events(const ChatAnswer& answer, std::string_view finish_reason,
                        const Statistics& statistics) {
  std::string events = chunk(answer, choice("delta", Json::object(), finish_reason));
  if (answer.include_usage) events += chunk(answer, Json::array(), usage_object(statistics));
  return events + "data: [DONE]\n\n";
}

std::string error_event(const ApiError& error) {
  return event(error_object(error));
}

std::string write_model(std::string_view name, std::int64_t created) {
  return dump(model_object(name, created));
}

std::string write_models(std::string_view name, std::int64_t created) {
  return dump({{"object", "list"}, {"data", Json::array({model_object(name, created)})}});
}

}  // namespace fvlm::net
