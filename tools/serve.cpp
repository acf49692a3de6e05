// fastvlm serve: the server of the real-time system, for cameras, pages and programs.
#include <fmt/format.h>
#include <pwd.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fvlm/core/error.hpp"
#include "net/server.hpp"
#include "runtime/engine.hpp"
#include "tools/command.hpp"
#include "tools/options.hpp"
#include "tools/terminal.hpp"

namespace fvlm {
namespace {

struct Options {
  EngineOptions engine;
  net::ServerOptions server;
  std::string api_key_file;
  std::string log_folder;
  double drain_s = 10;
};

std::filesystem::path default_log_folder() {
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    const passwd* user = ::getpwuid(::getuid());
    home = user == nullptr ? "/tmp" : user->pw_dir;
  }
  return std::filesystem::path(home) / "ml-fastvlm-logs";
}

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

// "[2026-11-23 08:17:00] INFO: message" to standard error and to FOLDER/server.log, of which five
// old ones are kept. Without the file if it cannot be written.
std::shared_ptr<spdlog::logger> open_log(const std::filesystem::path& folder) {
  constexpr std::size_t kBytes = std::size_t{10} << 20;
  constexpr std::size_t kOldFiles = 5;
  std::vector<spdlog::sink_ptr> sinks = {std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
  std::string problem;
  try {
    std::filesystem::create_directories(folder);
    sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
        (folder / "server.log").string(), kBytes, kOldFiles));
  } catch (const std::exception& error) {
    problem = error.what();
  }
  auto logger = std::make_shared<spdlog::logger>("server", sinks.begin(), sinks.end());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelName>('N').set_pattern("[%Y-%m-%d %H:%M:%S] %^%N%$: %v");
  logger->set_formatter(std::move(formatter));
  logger->flush_on(spdlog::level::info);
  if (problem.empty()) {
    logger->info("📁 log file {}", (folder / "server.log").string());
  } else {
    logger->warn("⚠️ no log file: {}", problem);
  }
  return logger;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line.empty()) {
    throw Error("{}: expected the API key in its first line", path);
  }
  return line;
}

int serve(Options& options) {
  if (!options.api_key_file.empty()) options.server.api_key = first_line(options.api_key_file);
  if (options.server.api_key.empty()) {
    if (const char* key = std::getenv("FASTVLM_API_KEY")) options.server.api_key = key;
  }
  const auto log = open_log(options.log_folder.empty() ? default_log_folder()
                                                       : std::filesystem::path(options.log_folder));
  options.server.log = [log](net::LogLevel, const std::string& line) { log->info("{}", line); };
  if (options.server.open_to_all && options.server.api_key.empty()) {
    log->warn("⚠️ anybody who reaches {} may use this server", options.server.transport.host);
  }
  const std::unique_ptr<Engine> engine = load_engine(options.engine);
  net::Server server(*engine, options.server);
  const InterruptGuard interrupt;  // before anybody is told that signals find a server
  const std::string& host = options.server.transport.host;
  log->info("🚀 {} on {}, {}", engine->info().model, engine->info().device,
            engine->info().precision);
  log->info("✅ ready: http://{}:{}/", host, server.port());

  std::thread traffic([&] {
    server.run();
    notify_event();
  });
  while (interrupt.signal() == 0) wait_for_event(false, std::chrono::milliseconds(-1));
  log->info("stopping: what is begun has {} s", options.drain_s);
  server.drain(std::chrono::milliseconds(static_cast<std::int64_t>(options.drain_s * 1000)));
  traffic.join();
  log->info("stopped");
  return kExitSuccess;
}

}  // namespace

Command add_serve(CLI::App& program) {
  CLI::App* parser = program.add_subcommand("serve", "Serve cameras and pages over WebSocket");
  const auto options = std::make_shared<Options>();
  net::ServerOptions& server = options->server;
  add_model_flags(*parser, options->engine);
  parser->add_option("--host", server.transport.host, "Address to listen on [127.0.0.1]")
      ->option_text("ADDRESS");
  const auto set_port = [&server](int port) {
    server.transport.port = static_cast<std::uint16_t>(port);
  };
  parser->add_option_function<int>("--port", set_port, "Port; 0: any that is free [5000]")
      ->check(CLI::Range(0, 65535))
      ->option_text("PORT");
  parser
      ->add_option("--api-key", server.api_key,
                   "Key that clients must give; see also "
                   "--api-key-file and $FASTVLM_API_KEY")
      ->option_text("KEY");
  parser->add_option("--api-key-file", options->api_key_file, "File whose first line is the key")
      ->option_text("FILE");
  parser
      ->add_option("--allow-origin", server.allowed_origins,
                   "Web site whose pages may connect, e.g. https://example.org; repeatable")
      ->option_text("ORIGIN");
  parser->add_flag("--open-to-all", server.open_to_all, "Listen beyond this machine without a key");
  parser
      ->add_option("--prompt", server.live.prompt,
                   "What to ask about frames unless the client says")
      ->option_text("TEXT");
  parser
      ->add_option("--max_new_tokens,--max-new-tokens", server.live.max_new_tokens,
                   "Longest answer, in tokens [256]")
      ->check(CLI::PositiveNumber)
      ->option_text("N");
  parser
      ->add_option("--max-connections", server.transport.max_connections,
                   "Connections at a time [1024]")
      ->check(CLI::PositiveNumber)
      ->option_text("N");
  parser
      ->add_option("--drain", options->drain_s, "Seconds that answers may take after SIGTERM [10]")
      ->check(CLI::NonNegativeNumber)
      ->option_text("SECONDS");
  parser
      ->add_option("--log-folder", options->log_folder, "Where server.log goes [~/ml-fastvlm-logs]")
      ->option_text("DIR");
  return {parser, [options] { return serve(*options); }};
}

}  // namespace fvlm
