#include "net/process/program_log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "net/protocol/json.hpp"

namespace fvlm {
namespace {

// The level as a word in capitals.
class LevelName : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& to) override {
    const spdlog::string_view_t name = spdlog::level::to_string_view(message.level);
    for (const char c : name) to.push_back(static_cast<char>(std::toupper(c)));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelName>();
  }
};

// In the order of LogLevel.
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                 spdlog::level::warn, spdlog::level::err};

constexpr const char* kNames[] = {"debug", "info", "warning", "error"};

constexpr std::size_t kOldFiles = 5;

void make_private(const std::string& file) {
  std::error_code ignored;  // somebody else's file, which then has the permissions it has
  std::filesystem::permissions(
      file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, ignored);
}

// Logs tell who was seen when: each file is made for its owner alone before it is written.
spdlog::sink_ptr private_file(const std::string& file, std::size_t bytes) {
  spdlog::file_event_handlers handlers;
  handlers.before_open = [](const std::string& name) {
    const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor >= 0) ::close(descriptor);
    make_private(name);
  };
  for (std::size_t i = 1; i <= kOldFiles; ++i) {
    make_private(spdlog::sinks::rotating_file_sink_mt::calc_filename(file, i));
  }
  return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file, bytes, kOldFiles, false,
                                                                handlers);
}

// "2026-11-23T08:17:00.250Z", RFC 3339.
std::string utc_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

}  // namespace

net::LogLevel default_log_level(bool quiet, bool verbose) {
  if (quiet) return net::LogLevel::kError;
  return verbose ? net::LogLevel::kDebug : net::LogLevel::kInfo;
}

std::filesystem::path default_log_folder() {
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    const passwd* user = ::getpwuid(::getuid());
    home = user == nullptr ? "/tmp" : user->pw_dir;
  }
  return std::filesystem::path(home) / "ml-fastvlm-logs";
}

std::string json_line(net::LogLevel level, const std::string& message,
                      const net::LogFields& fields) {
  net::Json json = {{"time", utc_now()},
                    {"level", kNames[static_cast<std::size_t>(level)]},
                    {"message", message}};
  for (const auto& [name, value] : {std::pair("client", fields.client),
                                    {"request_id", fields.request_id},
                                    {"key", fields.key}}) {
    if (!value.empty()) json[name] = value;
  }
  return net::dump(json);
}

net::Log open_log(const LogOptions& options) {
  constexpr std::size_t kBytes = std::size_t{10} << 20;
  const std::string file = (options.folder / (options.name + ".log")).string();
  std::vector<spdlog::sink_ptr> sinks = {std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
  std::string problem;
  try {
    std::filesystem::create_directories(options.folder);
    sinks.push_back(private_file(file, kBytes));
  } catch (const std::exception& error) {
    problem = error.what();
  }
  auto logger = std::make_shared<spdlog::logger>(options.name, sinks.begin(), sinks.end());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelName>('N').set_pattern(
      options.format == LogFormat::kJson ? "%v" : "[%Y-%m-%d %H:%M:%S] %^%N%$: %v");
  logger->set_formatter(std::move(formatter));
  logger->set_level(kLevels[static_cast<std::size_t>(options.level)]);
  logger->flush_on(spdlog::level::debug);
  net::Log log = log_to(std::move(logger), options.format);
  if (problem.empty()) {
    log(net::LogLevel::kInfo, "📁 log file " + file);
  } else {
    log(net::LogLevel::kWarning, "⚠️ no log file: " + problem);
  }
  return log;
}

net::Log log_to(std::shared_ptr<spdlog::logger> logger, LogFormat format) {
  return [logger = std::move(logger), format](net::LogLevel level, std::string line,
                                              const net::LogFields& fields) {
    const spdlog::level::level_enum wanted = kLevels[static_cast<std::size_t>(level)];
    if (!logger->should_log(wanted)) return;
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    if (format == LogFormat::kJson) {
      line = json_line(level, line, fields);
    } else if (!fields.request_id.empty() && !fields.verbatim) {
      line.append(" [").append(fields.request_id).append("]");
    }
    logger->log(wanted, "{}", line);
  };
}

}  // namespace fvlm
