// fastvlm-camera: command line, configuration file, log, signals.
#include <version.hpp>  // generated: FVLM_VERSION

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/camera_flags.hpp"
#include "capture/client.hpp"
#include "capture/config_file.hpp"
#include "capture/source/csi_cameras.hpp"
#include "capture/source/v4l2_source.hpp"
#include "net/command_line/command_table.hpp"
#include "net/command_line/config_file.hpp"
#include "net/command_line/flag_checks.hpp"
#include "net/command_line/help_text.hpp"
#include "net/http/address.hpp"
#include "net/http/api_keys.hpp"
#include "net/http/proxy.hpp"
#include "net/process/program_log.hpp"
#include "net/process/systemd.hpp"

namespace fvlm::capture {
namespace {

struct Options {
  CameraSettings camera{};
  PageOptions page{};
  std::string config_file{};
  std::string page_key_file{};
  LogOptions log{.folder = default_log_folder(), .name = "client"};
  std::optional<net::LogLevel> log_level{};
  bool quiet = false;
  bool verbose = false;
  bool wait_for_camera = false;
  bool list = false;
  std::string shell{};  // whose completion is wanted
  bool man_page = false;
};

constexpr char kExamples[] =
    "A camera, its page on http://127.0.0.1:8080/, and a server elsewhere:\n"
    "    fastvlm-camera --source v4l2:/dev/video0 --server ws://HOST:5000/ws\n"
    "A CSI camera of a Raspberry Pi:\n"
    "    fastvlm-camera --source 'pipe:rpicam-vid -t 0 --nopreview --codec mjpeg -o -'\n"
    "Completion in this shell:\n"
    "    source <(fastvlm-camera --completion bash)\n";

const std::vector<ExitStatus> kExitStatuses = {
    {"0", "A signal ended it, or what was asked for is printed."},
    {"1", "It cannot work: a camera, the port, a file; standard error says why."},
    {"2", "Flags or the config file are wrong; standard error says where."}};

void add_page_flags(CLI::App& app, Options& options) {
  PageOptions& page = options.page;
  app.add_option("--host", page.transport.host, "Address to serve the page on [127.0.0.1]")
      ->option_text("ADDRESS");
  app.add_option("--port", page.transport.port, "Port of the page; 0: any that is free [8080]")
      ->option_text("PORT");
  app.add_option("--page-key-file", options.page_key_file,
                 "File whose first line is the password of the page")
      ->option_text("FILE");
  app.add_flag("--open-to-all", page.access.open_to_all,
               "Serve the page to other machines without a key");
  app.add_option("--allow-origin", page.access.allowed_origins,
                 "Web site whose pages may show the pictures; repeatable")
      ->option_text("ORIGIN");
  app.add_option(
         "--base-path", page.transport.base_path,
         "Where the page's paths begin behind a reverse proxy that hands them on, e.g. /camera")
      ->option_text("PATH");
  app.add_option("--trusted-proxy", page.transport.trusted_proxies,
                 "Address or network of a reverse proxy, whose X-Forwarded-For or Forwarded tells "
                 "the client's address; repeatable")
      ->option_text("ADDRESS");
  app.add_option("--page-fps", options.camera.feed.view.rate,
                 "Frame rate of the page, at most [15]")
      ->check(in_range(0.1, 1000.0))
      ->option_text("N");
}

// As those of `fastvlm serve`.
void add_log_flags(CLI::App& app, Options& options) {
  LogOptions& log = options.log;
  app.add_option_function<std::string>(
         "--log-folder", [&log](const std::string& folder) { log.folder = folder; },
         "Where client.log goes [~/ml-fastvlm-logs]")
      ->option_text("DIR");
  app.add_option_function<std::string>(
         "--log-level",
         [&options](const std::string& name) { options.log_level = net::level_of(name); },
         "What is logged: this and what is more important [info; error with --quiet, debug with "
         "--verbose]")
      ->check(one_of({"error", "warn", "info", "debug"}))
      ->option_text("error|warn|info|debug");
  app.add_option_function<std::string>(
         "--log-format",
         [&log](const std::string& name) {
           log.format = name == "json" ? LogFormat::kJson : LogFormat::kText;
         },
         "Lines of text, or a JSON object a line [text]")
      ->check(one_of({"text", "json"}))
      ->option_text("text|json")
      ->trigger_on_parse();  // what is wrong with other flags is said in this format, too
  app.add_flag("--log-answers", options.camera.feed.log_answers,
               "Log the descriptions' texts, not only their lengths");
  CLI::Option* const quiet =
      app.add_flag("--quiet", options.quiet, "Say nothing but errors")->option_text(" ");
  app.add_flag("--verbose", options.verbose, "Also say what is done with each frame")
      ->excludes(quiet)
      ->option_text(" ");
}

// Flags are one camera, tables of the config file are several.
std::vector<FeedOptions> read_cameras(Options& options, CLI::App& app) {
  std::vector<FeedOptions> cameras;
  if (!options.config_file.empty()) {
    cameras = apply_config_file(app, options.config_file, options.camera);
  }
  if (cameras.empty()) cameras.push_back(feed_options(options.camera));
  return cameras;
}

int run(Options& options, CLI::App& app) {
  if (!options.shell.empty()) {
    std::cout << completion_script(options.shell, app);
    return EXIT_SUCCESS;
  }
  if (options.man_page) {
    std::cout << man_page(app, kExitStatuses);
    return EXIT_SUCCESS;
  }
  if (options.list) {
    std::cout << list_cameras(*system_calls()) << list_csi_cameras();
    return EXIT_SUCCESS;
  }
  const std::vector<FeedOptions> cameras = read_cameras(options, app);
  ClientOptions client_options{cameras, options.page, options.wait_for_camera};
  if (!options.page_key_file.empty())
    client_options.page.access.key = net::read_key(options.page_key_file, "--page-key-file");

  options.log.level = options.log_level.value_or(default_log_level(options.quiet, options.verbose));
  const net::Log log = open_log(options.log);
  Client client(client_options, log);
  client.loop().on_signal([&](int) {
    log(net::LogLevel::kInfo, "stopping");
    systemd::notify("STOPPING=1");
    client.stop();
  });
  for (const FeedOptions& feed : client_options.feeds) {
    log(net::LogLevel::kInfo,
        fmt::format("🚀 {}{} -> {}", client_options.feeds.size() > 1 ? feed.view.name + ": " : "",
                    public_name(feed.source.source), feed.server.url));
  }
  log(net::LogLevel::kInfo,
      fmt::format("✅ ready: http://{}{}/",
                  net::host_and_port(client_options.page.transport.host, client.port()),
                  net::normal_base_path(client_options.page.transport.base_path)));
  systemd::notify("READY=1");
  client.run([] { systemd::notify("WATCHDOG=1"); });
  log(net::LogLevel::kInfo, "stopped");
  return EXIT_SUCCESS;
}

void print_error(LogFormat format, const std::string& problem) {
  std::cerr << (format == LogFormat::kJson ? json_line(net::LogLevel::kError, problem)
                                           : "fastvlm-camera: " + problem)
            << '\n';
}

int main_program(int count, char** arguments) {
  Options options;
  CLI::App app("Sends a camera's frames to a FastVLM server and serves a page with its captions",
               "fastvlm-camera");
  set_help_form(app);
  app.footer(kExamples);
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("--version", "fastvlm-camera " FVLM_VERSION, "Print the version and exit");
  app.add_option(
         "--config", options.config_file,
         "File of settings in TOML: a line NAME = VALUE for each flag, and for each of several "
         "cameras a table [[camera]] with name, source and other flags of its own, and its "
         "title, place and size on the page")
      ->configurable(false)
      ->option_text("FILE");
  add_camera_flags(app, options.camera);
  add_server_flags(app, options.camera);
  add_page_flags(app, options);
  add_log_flags(app, options);
  app.add_flag("--wait-for-camera", options.wait_for_camera,
               "Start without a camera if there is none, and try again every second");
  app.add_flag("--list", options.list, "List cameras with their formats and sizes, and exit")
      ->configurable(false);
  app.add_option("--completion", options.shell,
                 "Print a script that completes command lines in this shell, and exit")
      ->check(one_of({"bash", "zsh", "fish"}))
      ->configurable(false)
      ->option_text("bash|zsh|fish");
  app.add_flag("--man-page", options.man_page, "Print the manual page, and exit")
      ->configurable(false);
  try {
    app.parse(count, arguments);
    return run(options, app);
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const net::ConfigError& error) {
    print_error(options.log.format, error.what());
    return 2;
  } catch (const CLI::ParseError& error) {
    print_error(options.log.format, with_help(flag_problem(app, error), app.get_name()));
    return 2;
  } catch (const std::exception& error) {
    print_error(options.log.format, error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace
}  // namespace fvlm::capture

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);  // a viewer that is gone is an error of a write
  return fvlm::capture::main_program(count, arguments);
}
