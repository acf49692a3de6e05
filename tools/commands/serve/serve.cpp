// fastvlm serve: the server of the real-time system, for cameras, pages and programs.
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "net/http/address.hpp"
#include "net/http/api_keys.hpp"
#include "net/http/proxy.hpp"
#include "net/process/program_log.hpp"
#include "net/process/systemd.hpp"
#include "net/service/server.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/serve/options.hpp"
#include "tools/commands/serve/settings.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

net::Log open_server_log(const ServeOptions& options) {
  LogOptions log = options.log;
  log.level = options.log_level.value_or(
      default_log_level(verbosity() == Verbosity::kQuiet, verbosity() == Verbosity::kVerbose));
  return open_log(log);
}

// Of strangers who may use the server, and of those who may read its keys.
void warn_of_access(const ServeOptions& options, const net::Log& log) {
  for (const std::string& file : {options.api_key_file, options.api_key_list}) {
    if (file.empty()) continue;
    const std::string warning = net::readable_by_others(file);
    if (!warning.empty()) log(net::LogLevel::kWarning, "⚠️ " + warning);
  }
  const net::AccessOptions& access = options.server.access;
  if (!access.open_to_all || !access.key.empty() || !access.keys.empty()) return;
  log(net::LogLevel::kWarning,
      fmt::format("⚠️ no authentication: every client that reaches {} may use this server",
                  options.server.transport.host));
}

// The model's part of what must fit: known once it is loaded.
void check_room(const ServeOptions& options, const EngineInfo& info) {
  const std::int64_t needed = info.image_tokens + options.max_new_tokens;
  if (options.engine.cache_tokens == 0 || needed < info.context_tokens) return;
  throw Error(
      fmt::format("--cache-tokens is {}: a picture of {} tokens, a question and an answer of "
                  "--max_new_tokens, which is {}, do not fit; raise the one or lower the other",
                  options.engine.cache_tokens, info.image_tokens, options.max_new_tokens));
}

// To people, with where a browser finds the page, and to systemd.
void report_ready(const net::TransportOptions& transport, std::uint16_t port,
                  const EngineInfo& info, const net::Log& log) {
  log(net::LogLevel::kInfo, fmt::format("🚀 {} on {}, {}", info.model, info.device, info.precision));
  log(net::LogLevel::kInfo,
      fmt::format("✅ ready: {}://{}{}/", transport.certificate_file.empty() ? "http" : "https",
                  net::host_and_port(transport.host, port),
                  net::normal_base_path(transport.base_path)));
  systemd::notify("READY=1");
}

// On SIGHUP: all that can change without a restart, or nothing.
void reload(const GivenFlags& given, net::Server& server, const net::Log& log) {
  try {
    ServeOptions options = read_settings(given);
    warn_of_access(options, log);
    server.set(std::move(options.server));
  } catch (const std::exception& error) {
    log(net::LogLevel::kError, fmt::format("❌ the settings stay as they were: {}", error.what()));
  }
}

// Until a signal comes, or the terminal goes that this was started from. Systemd hears of us from
// the thread that serves, as long as that and the engine work.
void wait_for_end(const InterruptGuard& interrupt, HangupGuard& hangup, const GivenFlags& given,
                  net::Server& server, const net::Log& log) {
  const auto tell = [&server] {
    if (server.alive()) systemd::notify("WATCHDOG=1");
  };
  const std::chrono::milliseconds watchdog = systemd::watchdog_interval();
  while (interrupt.signal() == 0) {
    if (hangup.take()) {
      if (hangup.terminal_gone()) return;
      reload(given, server, log);
    }
    if (watchdog.count() > 0) server.post(tell);
    wait_for_event(false, watchdog);
  }
}

void drain(net::Server& server, double seconds, const net::Log& log) {
  systemd::notify("STOPPING=1");
  log(net::LogLevel::kInfo, fmt::format("draining: running requests have {} s", seconds));
  server.drain(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
}

// What is wrong with flags, files and the port shows before the model is loaded, which takes long.
int serve(const GivenFlags& given) {
  HangupGuard hangup;  // from now on it means: read the settings again
  ServeOptions options = read_settings(given);
  const net::Log log = open_server_log(options);
  warn_of_access(options, log);
  options.server.log = log;
  net::Server server(options.server);
  const std::unique_ptr<Engine> engine = load_engine(options.engine);
  check_room(options, engine->info());
  server.open(*engine);

  const InterruptGuard interrupt;  // before readiness is reported: from then on signals drain
  report_ready(options.server.transport, server.port(), engine->info(), log);
  std::thread traffic([&server] {
    server.run();
    notify_event();
  });
  wait_for_end(interrupt, hangup, given, server, log);
  drain(server, options.drain_s, log);
  traffic.join();
  log(net::LogLevel::kInfo, "stopped");
  return kExitSuccess;
}

}  // namespace

Command add_serve(CLI::App& program) {
  CLI::App* parser = program.add_subcommand(
      "serve", "Serve cameras, pages and OpenAI's clients over WebSocket and HTTP");
  const auto options = std::make_shared<ServeOptions>();
  add_serve_flags(*parser, *options);
  // Parsing checks the command line with these options; serve() reads all of its own.
  return {parser, [options, parser] { return serve(given_flags(*parser)); }};
}

}  // namespace fvlm
