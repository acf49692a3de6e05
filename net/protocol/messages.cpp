#include "net/protocol/messages.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <utility>

#include "net/protocol/json.hpp"

namespace fvlm::net {
namespace {

// Takes a value of a message if it is there. What is wrong with it, if something is.
template <class T>
std::string take(const Json& message, const char* key, bool (Json::*is_right)() const noexcept,
                 const char* type, std::optional<T>& to) {
  const auto value = message.find(key);
  if (value == message.end()) return {};
  if (!((*value).*is_right)()) return fmt::format("\"{}\" must be {}", key, type);
  to = value->get<T>();
  return {};
}

ClientMessage read_configure(const Json& message) {
  Configure c;
  for (std::string problem :
       {take(message, "prompt", &Json::is_string, "a text", c.prompt),
        take(message, "max_new_tokens", &Json::is_number_integer, "a whole number",
             c.max_new_tokens),
        take(message, "temperature", &Json::is_number, "a number", c.temperature),
        take(message, "stream", &Json::is_boolean, "true or false", c.stream),
        take(message, "unchanged_below", &Json::is_number, "a number", c.unchanged_below)}) {
    if (!problem.empty()) return Unreadable{std::move(problem)};
  }
  if (message.contains("request_id")) c.request_id = dump(message["request_id"]);
  return c;
}

}  // namespace

ClientMessage read_client_message(std::string_view text) {
  if (text.size() > kLongestText) {
    return Unreadable{fmt::format("a text message may have {} bytes", kLongestText)};
  }
  const auto [message, problem] = parse_object(text);
  if (!problem.empty()) return Unreadable{"a text message " + problem};
  const auto type = message.find("type");
  if (type == message.end() || !type->is_string()) return Unreadable{"a message needs a \"type\""};
  if (*type == "configure") return read_configure(message);
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
  Json message = {{"type", "description"},
                  {"content", description.content},
                  {"timestamp", timestamp(description.time)}};
  if (const auto& details = description.details) {
    message["frame_id"] = details->frame_id;
    const auto tenths = [](double ms) { return std::round(10 * ms) / 10; };
    message["ttft_ms"] = tenths(details->ttft_ms);
    message["total_ms"] = tenths(details->total_ms);
    message["tokens"] = details->tokens;
    if (details->unchanged) message["unchanged"] = true;
    if (!details->request_id.empty()) message["request_id"] = Json::parse(details->request_id);
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
  Json error = {{"type", "error"}, {"code", code}, {"message", message}};
  if (frame_id) error["frame_id"] = *frame_id;
  return dump(error);
}

}  // namespace fvlm::net
