// fastvlm-camera: command line, configuration file, log, signals.
#include <version.hpp>  // generated: FVLM_VERSION

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

#include "capture/client.hpp"
#include "capture/source/v4l2_source.hpp"
#include "net/http/api_keys.hpp"
#include "net/process/program_log.hpp"
#include "net/process/systemd.hpp"

namespace fvlm::capture {
namespace {

struct Options {
  ClientOptions client{};
  std::string format = "auto";
  std::string interval = "1s";
  std::string api_key_file{};
  std::string page_key_file{};
  LogOptions log{.folder = default_log_folder(), .name = "client"};
  bool verbose = false;
  bool list = false;
};

// "1s", "250ms", "0.5": seconds if there is no unit.
std::chrono::milliseconds duration_of(const std::string& text) {
  std::size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const double milliseconds = unit == "ms" ? value : value * 1000;
  const bool known = unit.empty() || unit == "s" || unit == "ms";
  if (used == 0 || !known || !(milliseconds >= 1) || milliseconds > 3.6e6) {
    throw CLI::ValidationError(
        "--interval", text + ": expected a time such as 1s, 0.5s or 250ms, at most an hour");
  }
  return std::chrono::milliseconds(std::llround(milliseconds));
}

void add_camera_flags(CLI::App& app, Options& options) {
  SourceOptions& source = options.client.source;
  app.add_option("--source", source.source,
                 "v4l2[:DEVICE or INDEX], images:DIR, test-pattern[:FORMAT] or pipe:COMMAND, which "
                 "writes JPEGs; v4l2 alone tries 0, then 1")
      ->capture_default_str();
  app.add_option("--width", source.width, "Width of pictures, in pixels")
      ->check(CLI::Range(16, 8192))
      ->capture_default_str();
  app.add_option("--fps", source.rate,
                 "Frame rate to ask the source for; required for a pipe below one frame a second")
      ->check(CLI::Range(0.1, 1e5));
  app.add_option(
         "--format", options.format,
         "Pixel format of a camera: auto (the cheapest), mjpeg, yu12, nv12, yuyv, uyvy or grey")
      ->check(CLI::IsMember({"auto", "mjpeg", "yu12", "nv12", "yuyv", "uyvy", "grey"}))
      ->capture_default_str();
  app.add_option("--exposure", source.exposure, "Exposure time of a camera, in 100 us");
  app.add_option("--gain", source.gain, "Gain of a camera");
  app.add_option("--brightness", source.brightness, "Brightness of a camera");
  EncoderOptions& encoder = options.client.encoder;
  app.add_option("--quality", encoder.quality, "JPEG quality of frames that the client compresses")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--max-quality", encoder.max_quality,
                 "Recompress a camera's own JPEGs of a higher quality")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
}

void add_server_flags(CLI::App& app, Options& options) {
  ServerAddress& server = options.client.server;
  LinkOptions& link = options.client.link;
  app.add_option("--server", server.url, "ws:// or wss:// address of the server")
      ->capture_default_str();
  app.add_option("--interval", options.interval, "Time between frames that are sent, e.g. 250ms")
      ->capture_default_str();
  app.add_flag("--stream", link.stream,
               "Stream tokens from a fastvlm server, and let the page change the prompt");
  app.add_option("--prompt", link.prompt, "Prompt, with --stream [the server's]");
  app.add_option("--max-new-tokens", link.max_new_tokens,
                 "Tokens of an answer, at most, with --stream")
      ->check(CLI::PositiveNumber);
  app.add_option("--api-key-file", options.api_key_file,
                 "File whose first line is the server's key; or $FASTVLM_API_KEY");
  app.add_option("--ca-file", server.ca_file, "CA certificates to trust with wss://, in PEM")
      ->check(CLI::ExistingFile);
}

void add_page_flags(CLI::App& app, Options& options) {
  PageOptions& page = options.client.page;
  app.add_option("--host", page.transport.host, "Address to serve the page on")
      ->capture_default_str();
  app.add_option("--port", page.transport.port, "Port of the page; 0: any that is free")
      ->capture_default_str();
  app.add_option("--page-key-file", options.page_key_file,
                 "File whose first line is the password of the page");
  app.add_flag("--open-to-all", page.access.open_to_all,
               "Serve the page to other machines without a key");
  app.add_option("--allow-origin", page.access.allowed_origins,
                 "Web site whose pages may show the pictures; repeatable");
  app.add_option(
      "--base-path", page.transport.base_path,
      "Where the page's paths begin behind a reverse proxy that hands them on, e.g. /camera");
  app.add_option("--trusted-proxy", page.transport.trusted_proxies,
                 "Address or network of a reverse proxy, whose X-Forwarded-For or Forwarded tells "
                 "the client's address; repeatable");
  app.add_option("--page-fps", page.rate, "Frame rate of the page, at most")
      ->check(CLI::Range(0.1, 1000.0))
      ->capture_default_str();
}

// As those of `fastvlm serve`.
void add_log_flags(CLI::App& app, Options& options) {
  LogOptions& log = options.log;
  app.add_option_function<std::string>(
      "--log-folder", [&log](const std::string& folder) { log.folder = folder; },
      "Where client.log goes [~/ml-fastvlm-logs]");
  app.add_option_function<std::string>(
         "--log-level", [&log](const std::string& name) { log.level = *net::level_of(name); },
         "What is logged: this and what is more important [info]")
      ->check(CLI::IsMember({"error", "warn", "info", "debug"}));
  app.add_option_function<std::string>(
         "--log-format",
         [&log](const std::string& name) {
           log.format = name == "json" ? LogFormat::kJson : LogFormat::kText;
         },
         "Lines of text, or a JSON object a line [text]")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--log-answers", options.client.log_answers,
               "Log the descriptions' texts, not only their lengths");
  app.add_flag("--verbose", options.verbose, "Log each frame: --log-level debug");
}

int run(Options& options) {
  if (options.list) {
    std::cout << list_cameras(*system_calls());
    return EXIT_SUCCESS;
  }
  ClientOptions& client_options = options.client;
  client_options.encoder.width = client_options.source.width;
  client_options.source.format = format_of(options.format);
  client_options.link.interval = duration_of(options.interval);
  check_address(client_options.server);
  check_source(client_options.source.source);
  if (!options.api_key_file.empty()) {
    client_options.server.api_key = net::read_key(options.api_key_file);
  } else if (const char* key = std::getenv("FASTVLM_API_KEY")) {
    client_options.server.api_key = key;
  }
  if (!options.page_key_file.empty())
    client_options.page.access.key = net::read_key(options.page_key_file);

  if (options.verbose) options.log.level = net::LogLevel::kDebug;
  const net::Log log = open_log(options.log);
  Client client(client_options, log);
  client.loop().on_signal([&](int) {
    log(net::LogLevel::kInfo, "stopping");
    systemd::notify("STOPPING=1");
    client.stop();
  });
  log(net::LogLevel::kInfo, fmt::format("🚀 {} -> {}", public_name(client_options.source.source),
                                        client_options.server.url));
  log(net::LogLevel::kInfo,
      fmt::format("✅ ready: http://{}:{}/", client_options.page.transport.host, client.port()));
  systemd::notify("READY=1");
  client.run([] { systemd::notify("WATCHDOG=1"); });
  log(net::LogLevel::kInfo, "stopped");
  return EXIT_SUCCESS;
}

int main_program(int count, char** arguments) {
  Options options;
  CLI::App app("Sends a camera's frames to a FastVLM server and serves a page with its captions");
  app.set_version_flag("--version", "fastvlm-camera " FVLM_VERSION);
  app.set_config("--config", "", "File of settings: a line NAME = VALUE for each flag");
  add_camera_flags(app, options);
  add_server_flags(app, options);
  add_page_flags(app, options);
  add_log_flags(app, options);
  app.add_flag("--list", options.list, "List cameras with their formats and sizes, and exit")
      ->configurable(false);
  try {
    app.parse(count, arguments);
    return run(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : 2;
  } catch (const std::exception& error) {
    std::cerr << "fastvlm-camera: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}

}  // namespace
}  // namespace fvlm::capture

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);  // a viewer that is gone is an error of a write
  return fvlm::capture::main_program(count, arguments);
}
