#include "tools/commands/serve/settings.hpp"

#include <version.hpp>  // generated: FVLM_VERSION

#include <algorithm>
#include <cstdlib>

#include "fvlm/error.hpp"
#include "net/command_line/config_flags.hpp"
#include "net/http/api_keys.hpp"

namespace fvlm {
namespace {

void read_keys(const ServeOptions& options, net::AccessOptions& access) {
  if (!options.api_key_file.empty()) {
    if (!access.key.empty()) {
      throw Error("--api-key and --api-key-file both say the key; keep one of them");
    }
    access.key = net::read_key(options.api_key_file, "--api-key-file");
  }
  if (!options.api_key_list.empty()) access.keys = net::read_key_list(options.api_key_list);
  const char* const key = std::getenv("FASTVLM_API_KEY");
  if (access.key.empty() && key != nullptr) access.key = key;
}

// What follows from the flags once all are known.
void complete(ServeOptions& options) {
  EngineOptions& engine = options.engine;
  if (engine.model_path.empty()) {
    throw Error("--model-path is required; run fastvlm serve --help");
  }
  if (engine.cache_tokens > 0) {  // no conversation is longer than what holds it
    engine.context_tokens = std::min(engine.context_tokens, engine.cache_tokens);
  }
  net::ServerOptions& server = options.server;
  server.live.max_new_tokens = options.max_new_tokens;
  server.chat.max_new_tokens = options.max_new_tokens;
  server.version = FVLM_VERSION;
}

}  // namespace

GivenFlags given_flags(const CLI::App& parser) {
  GivenFlags given;
  for (const CLI::Option* option : parser.get_options()) {
    if (option->count() > 0) given.emplace_back(option->get_name(), option->results());
  }
  return given;
}

ServeOptions read_settings(const GivenFlags& given) {
  ServeOptions options;
  CLI::App parser;
  add_serve_flags(parser, options);
  add_verbosity_flags(parser);  // as every command has them
  for (const auto& [name, values] : given) {
    CLI::Option* option = parser.get_option(name);
    option->add_result(values);
    option->run_callback();
  }
  if (!options.config_file.empty()) {
    const net::ConfigFile file = net::read_config_file(options.config_file);
    net::apply_config(parser, file.path, file.entries);
  }
  complete(options);
  read_keys(options, options.server.access);
  return options;
}

}  // namespace fvlm
