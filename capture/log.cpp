#include "capture/log.hpp"

#include <pwd.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace fvlm::capture {
namespace {

constexpr std::size_t kFileBytes = std::size_t{10} << 20;
constexpr std::size_t kOldFiles = 5;

// spdlog writes levels in small letters.
class CapitalLevel final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& to) override {
    for (const char letter : spdlog::level::to_string_view(message.level)) {
      to.push_back(static_cast<char>(std::toupper(letter)));
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<CapitalLevel>();
  }
};

}  // namespace

std::filesystem::path default_log_folder() {
  const char* home = std::getenv("HOME");
  const passwd* const user = home == nullptr ? ::getpwuid(::getuid()) : nullptr;
  if (user != nullptr) home = user->pw_dir;
  return std::filesystem::path(home == nullptr ? "/tmp" : home) / "ml-fastvlm-logs";
}

std::shared_ptr<spdlog::logger> open_log(const std::filesystem::path& folder, bool verbose) {
  const std::filesystem::path path = folder / "client.log";
  auto logger = std::make_shared<spdlog::logger>(
      "client", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  std::string problem;
  try {
    std::filesystem::create_directories(folder);
    logger->sinks().push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
        path.string(), kFileBytes, kOldFiles));
  } catch (const std::exception& error) {
    problem = error.what();
  }
  auto layout = std::make_unique<spdlog::pattern_formatter>();
  layout->add_flag<CapitalLevel>('N').set_pattern("[%Y-%m-%d %H:%M:%S] %^%N%$: %v");
  logger->set_formatter(std::move(layout));
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  logger->flush_on(spdlog::level::info);
  if (problem.empty()) {
    logger->info("📁 log file {}", path.string());
  } else {
    logger->warn("⚠️ no log file: {}", problem);
  }
  return logger;
}

}  // namespace fvlm::capture
