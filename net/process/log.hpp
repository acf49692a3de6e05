// The log's interface: a level, one line of text, and what the line is about.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace fvlm::net {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

// By the name that flags call it: error, warn, info or debug.
inline std::optional<LogLevel> level_of(std::string_view name) {
  if (name == "error") return LogLevel::kError;
  if (name == "warn") return LogLevel::kWarning;
  if (name == "info") return LogLevel::kInfo;
  if (name == "debug") return LogLevel::kDebug;
  return std::nullopt;
}

// For programs that read logs; empty where a line is about none.
struct LogFields {
  std::string_view client{};      // address and port
  std::string_view request_id{};  // HttpRequest::request_id
  std::string_view key{};         // name of the API key
  // The line ends in what a model said, as the original's does: in text nothing follows that.
  bool verbatim = false;
};

class Log {
 public:
  using Write = std::function<void(LogLevel, const std::string& line, const LogFields& fields)>;

  Log() = default;
  template <std::invocable<LogLevel, const std::string&, const LogFields&> Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, Log>) Log(Function write)
      : write_(std::move(write)) {}

  void operator()(LogLevel level, const std::string& line, const LogFields& fields = {}) const {
    if (write_) write_(level, line, fields);
  }

 private:
  Write write_{};
};

}  // namespace fvlm::net
