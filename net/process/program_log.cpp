#include "net/process/program_log.hpp"

#include <pwd.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

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

}  // namespace

std::filesystem::path default_log_folder() {
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    const passwd* user = ::getpwuid(::getuid());
    home = user == nullptr ? "/tmp" : user->pw_dir;
  }
  return std::filesystem::path(home) / "ml-fastvlm-logs";
}

std::shared_ptr<spdlog::logger> open_log(const std::filesystem::path& folder,
                                         const std::string& name) {
  constexpr std::size_t kBytes = std::size_t{10} << 20;
  constexpr std::size_t kOldFiles = 5;
  const std::string file = (folder / (name + ".log")).string();
  std::vector<spdlog::sink_ptr> sinks = {std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
  std::string problem;
  try {
    std::filesystem::create_directories(folder);
    sinks.push_back(
        std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file, kBytes, kOldFiles));
  } catch (const std::exception& error) {
    problem = error.what();
  }
  auto logger = std::make_shared<spdlog::logger>(name, sinks.begin(), sinks.end());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelName>('N').set_pattern("[%Y-%m-%d %H:%M:%S] %^%N%$: %v");
  logger->set_formatter(std::move(formatter));
  logger->flush_on(spdlog::level::info);
  if (problem.empty()) {
    logger->info("📁 log file {}", file);
  } else {
    logger->warn("⚠️ no log file: {}", problem);
  }
  return logger;
}

net::Log log_to(std::shared_ptr<spdlog::logger> logger) {
  return [logger = std::move(logger)](net::LogLevel level, std::string line) {
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    logger->log(kLevels[static_cast<std::size_t>(level)], "{}", line);
  };
}

}  // namespace fvlm
