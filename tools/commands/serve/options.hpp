// The flags of fastvlm serve.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "fvlm/engine.hpp"
#include "net/process/program_log.hpp"
#include "net/service/server.hpp"
#include "tools/commands/shared/options.hpp"

namespace fvlm {

struct ServeOptions {
  EngineOptions engine;
  net::ServerOptions server;
  std::string config_file;
  std::string api_key_file;
  std::string api_key_list;
  LogOptions log{.folder = default_log_folder(), .name = "server"};
  std::optional<net::LogLevel> log_level;
  std::int64_t max_new_tokens = 256;
  double drain_s = 10;

  // Clients ask again about a picture.
  ServeOptions() { engine.image_cache_bytes = 64 * kMegabyte; }
};

void add_serve_flags(CLI::App& parser, ServeOptions& options);

}  // namespace fvlm
