#include "net/messages.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

namespace fvlm::net {
namespace {

using json = nlohmann::ordered_json;

std::string dump(const json& message) {
  // Texts of a model are valid UTF-8; those of others, such as a file's name, need not be.
  return message.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Takes a value of a message if it is there and has the right type; else says what is wrong.
template <class T>
void take(const json& message, const char* key, bool right_type, const char* type,
          std::optional<T>& to) {
  const auto value = message.find(key);
  if (value == message.end()) return;
  if (!right_type) throw Unreadable{fmt::format("\"{}\" must be {}", key, type)};
  to = value->get<T>();
}

Configure read_configure(const json& message) {
  const auto is = [&](const char* key, bool (json::*test)() const noexcept) {
    return message.contains(key) && (message[key].*test)();
  };
  Configure configure;
  take(message, "prompt", is("prompt", &json::is_string), "a text", configure.prompt);
  take(message, "max_new_tokens", is("max_new_tokens", &json::is_number_integer), "a whole number",
       configure.max_new_tokens);
  take(message, "temperature", is("temperature", &json::is_number), "a number",
       configure.temperature);
  take(message, "stream", is("stream", &json::is_boolean), "true or false", configure.stream);
  if (message.contains("request_id")) configure.request_id = dump(message["request_id"]);
  return configure;
}

}  // namespace

ClientMessage read_client_message(std::string_view text) {
  const json message = json::parse(text, nullptr, false);
  if (!message.is_object()) return Unreadable{"a text message must be a JSON object"};
  const auto type = message.find("type");
  if (type == message.end() || !type->is_string()) {
    return Unreadable{"a message needs a \"type\""};
  }
  try {
    if (*type == "configure") return read_configure(message);
  } catch (const Unreadable& problem) {
    return problem;
  }
  if (*type == "cancel") return Cancel{};
  return Unreadable{"\"type\" must be \"configure\" or \"cancel\""};
}

std::string timestamp(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:%Y%m%d_%H%M%S}", local);
}

std::string write_description(const Description& description) {
  json message = {{"type", "description"},
                  {"content", description.content},
                  {"timestamp", timestamp(description.time)}};
  if (const auto& details = description.details) {
    message["frame_id"] = details->frame_id;
    const auto tenths = [](double ms) { return std::round(10 * ms) / 10; };
    message["ttft_ms"] = tenths(details->ttft_ms);
    message["total_ms"] = tenths(details->total_ms);
    message["tokens"] = details->tokens;
    if (!details->request_id.empty()) message["request_id"] = json::parse(details->request_id);
  }
  return dump(message);
}

std::string write_token(std::string_view content, std::int64_t frame_id) {
  return dump({{"type", "token"}, {"content", content}, {"frame_id", frame_id}});
}

std::string write_skipped(std::int64_t frame_id) {
  return dump({{"type", "skipped"}, {"frame_id", frame_id}});
}

std::string write_error(std::string_view code, std::string_view message,
                        std::optional<std::int64_t> frame_id) {
  json error = {{"type", "error"}, {"code", code}, {"message", message}};
  if (frame_id) error["frame_id"] = *frame_id;
  return dump(error);
}

}  // namespace fvlm::net
