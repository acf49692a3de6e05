#include "tools/commands/serve/options.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstddef>

#include "net/command_line/flag_checks.hpp"
#include "tools/commands/shared/images.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

void add_seconds(CLI::App& parser, const std::string& flag, std::chrono::milliseconds& value,
                 const std::string& description) {
  const auto set = [&value](double seconds) {
    value = std::chrono::milliseconds(static_cast<std::int64_t>(1000 * seconds));
  };
  parser
      .add_option_function<double>(flag, set,
                                   fmt::format("{} [{}]", description, value.count() / 1000))
      ->check(in_range(0.01, 86400.0))
      ->option_text("SECONDS");
}

void add_megabytes(CLI::App& parser, const std::string& flag, std::size_t& value,
                   const std::string& description, int least = 1) {
  const auto set = [&value](std::size_t megabytes) { value = megabytes * kMegabyte; };
  parser
      .add_option_function<std::size_t>(flag, set,
                                        fmt::format("{} [{}]", description, value / kMegabyte))
      ->check(in_range(least, 1 << 20))
      ->option_text("MB");
}

// One address's share of what another flag limits for all. By default a quarter: it takes four
// addresses to fill the server, and an office behind one still fits.
void add_share(CLI::App& parser, const std::string& flag, std::size_t& value, std::size_t unit,
               const std::string& description) {
  const auto set = [&value, unit](std::size_t count) { value = count * unit; };
  parser.add_option_function<std::size_t>(flag, set, description + "; 0: a quarter of all [0]")
      ->check(in_range(0, 1 << 30))
      ->option_text(unit == 1 ? "N" : "MB");
}

template <class Count>
void add_count(CLI::App& parser, const std::string& flag, Count& value,
               const std::string& description) {
  parser.add_option(flag, value, fmt::format("{} [{}]", description, value))
      ->check(in_range(1, 1 << 30))
      ->option_text("N");
}

void add_access_flags(CLI::App& parser, ServeOptions& options) {
  net::ServerOptions& server = options.server;
  parser.add_option("--host", server.transport.host, "Address to listen on [127.0.0.1]")
      ->option_text("ADDRESS");
  const auto set_port = [&server](int port) {
    server.transport.port = static_cast<std::uint16_t>(port);
  };
  parser.add_option_function<int>("--port", set_port, "Port; 0: any that is free [5000]")
      ->check(in_range(0, 65535))
      ->option_text("PORT");
  parser
      .add_option("--api-key", server.access.key,
                  "Key that clients must give; see also --api-key-file and $FASTVLM_API_KEY")
      ->check([](const std::string& key) {
        return key.empty() ? "an empty key is none; leave the flag out if none is wanted" : "";
      })
      ->option_text("KEY");
  parser.add_option("--api-key-file", options.api_key_file, "File whose first line is the key")
      ->option_text("FILE");
  parser
      .add_option("--api-key-list", options.api_key_list,
                  "File of keys with names and limits: NAME:KEY or NAME:sha256:HEX a line; read "
                  "again on SIGHUP")
      ->option_text("FILE");
  parser
      .add_option("--free-wrong-keys", server.access.free_wrong_keys,
                  "Wrong keys after which an address is rate-limited; 0: no limit [5]")
      ->check(in_range(0, 1 << 30))
      ->option_text("N");
  parser
      .add_option("--tls-cert", server.transport.certificate_file,
                  "Certificate chain in PEM; the port then speaks https and wss")
      ->option_text("FILE");
  parser
      .add_option("--tls-key", server.transport.key_file, "Private key of the certificate, in PEM")
      ->option_text("FILE");
  parser
      .add_option("--allow-origin", server.access.allowed_origins,
                  "Web site whose pages may connect, e.g. https://example.org; repeatable")
      ->take_all()
      ->allow_extra_args(false)
      ->option_text("ORIGIN");
  parser
      .add_option("--base-path", server.transport.base_path,
                  "Where all paths begin behind a reverse proxy that hands them on, e.g. /vlm")
      ->option_text("PATH");
  parser
      .add_option("--trusted-proxy", server.transport.trusted_proxies,
                  "Address or network of a reverse proxy, whose X-Forwarded-For or Forwarded tells "
                  "the client's address; repeatable")
      ->take_all()
      ->allow_extra_args(false)
      ->option_text("ADDRESS");
  parser.add_flag("--open-to-all", server.access.open_to_all,
                  "Accept clients from other machines without a key");
}

void add_answer_flags(CLI::App& parser, ServeOptions& options) {
  net::ServerOptions& server = options.server;
  parser.add_option("--prompt", server.live.prompt, "Prompt for frames of clients that send none")
      ->option_text("TEXT");
  parser
      .add_option("--max_new_tokens,--max-new-tokens", options.max_new_tokens,
                  "Tokens of an answer, at most; a chat that asks for more is refused [256]")
      ->check(above_zero<std::int64_t>())
      ->option_text("N");
  parser
      .add_option("--model-name", server.chat.model,
                  "Name of the model in OpenAI's interface [that of its folder]")
      ->option_text("NAME");
  parser.add_flag(
      "--speculative-decoding,!--no-speculative-decoding,--drafts,!--no-drafts", server.live.drafts,
      "Draft a stream's answer from its last one and verify several tokens a step, which changes "
      "no answer; --no-speculative-decoding: do not [on]");
  parser
      .add_option("--unchanged-below", server.live.unchanged_below,
                  "Repeat the last answer for a frame whose thumbnail differs less from the last "
                  "frame's, in 0..255; 0: never [0]")
      ->check(in_range(0.0, 255.0))
      ->option_text("X");
}

void add_limit_flags(CLI::App& parser, ServeOptions& options) {
  net::ServerOptions& server = options.server;
  net::TransportOptions& transport = server.transport;
  add_count(parser, "--max-connections", transport.max_connections, "Connections at a time");
  add_share(parser, "--max-connections-per-address", transport.max_connections_per_address, 1,
            "Connections of one address");
  add_count(parser, "--max-chats", server.chat.max_chats,
            "Chats and other requests for answers, of any API, at a time");
  add_share(parser, "--max-chats-per-address", server.chat.max_chats_per_address, 1,
            "Such requests of one address");
  add_count(parser, "--max-waiting", options.engine.max_waiting,
            "Requests in the engine's queue; more are refused");
  parser
      .add_option(
          "--cache-tokens", options.engine.cache_tokens,
          "Tokens in the KV cache, shared by all running requests; `fastvlm info` shows the "
          "bytes of one; 0: four times the context [0]")
      ->check(in_range(0, 1 << 30))
      ->option_text("N");
  add_megabytes(parser, "--image-cache", options.engine.image_cache_bytes,
                "Embeddings of recent pictures, which are not encoded again; 0: keep none", 0);
  add_count(parser, "--max-waiting-frames", server.live.max_waiting_frames,
            "Unanswered frames of one connection");
  add_count(parser, "--max-frames-per-address", server.live.max_waiting_frames_per_address,
            "Queued frames of one address");
  add_megabytes(parser, "--max-waiting-size", server.live.max_waiting_bytes,
                "JPEGs of all queued frames");
  add_share(parser, "--max-waiting-size-per-address", server.live.max_waiting_bytes_per_address,
            kMegabyte, "JPEGs of one address's queued frames");
  add_megabytes(parser, "--max-decoded-size", server.pictures.max_bytes,
                "Decoded pictures that are queued for the engine");
  add_share(parser, "--max-decoded-size-per-address", server.pictures.max_bytes_per_address,
            kMegabyte, "Those of one address");
  add_megabytes(parser, "--max-message-size", transport.max_message_bytes, "WebSocket message");
  add_megabytes(parser, "--max-body-size", transport.max_body_bytes, "Body of an HTTP request");
  add_megabytes(parser, "--max-received-size", transport.max_received_bytes,
                "Bodies and WebSocket messages of all clients that are being received or not "
                "looked at yet");
  add_share(parser, "--max-received-size-per-address", transport.max_received_bytes_per_address,
            kMegabyte, "Such bytes of one address");
  add_megabytes(parser, "--max-unsent-size", transport.max_unsent_bytes,
                "Send buffer of a connection; a client that reads too slowly is closed");
  add_seconds(parser, "--ping-interval", transport.ping_interval,
              "Time between pings of a WebSocket");
  // Each flag's second name is that of earlier versions.
  add_seconds(parser, "--idle-timeout,--longest-silence", transport.idle_timeout,
              "Close a WebSocket on which nothing arrives for so long, not even a pong");
  add_seconds(parser, "--request-timeout,--longest-request", transport.request_timeout,
              "Close a connection whose HTTP request has not arrived by then");
  add_seconds(parser, "--header-timeout", transport.header_timeout,
              "Close a connection on which the head of an HTTP request has not arrived by then");
  add_seconds(parser, "--keep-alive-timeout", transport.keep_alive_timeout,
              "Close an HTTP connection on which no other request begins for so long");
  add_seconds(parser, "--response-timeout,--longest-answer", transport.response_timeout,
              "Cancel a chat completion that takes longer");
  add_seconds(parser, "--step-timeout,--longest-turn", server.step_timeout,
              "Step of the engine after which it counts as hanging: /livez fails, and systemd "
              "restarts the server");
  add_count(parser, "--image-threads,--decoders", server.pictures.threads,
            "Threads that decode pictures; as many again parse chat completions");
  parser
      .add_option("--drain", options.drain_s,
                  "Time after SIGTERM in which running requests may finish [10]")
      ->check(not_negative())
      ->option_text("SECONDS");
}

void add_log_flags(CLI::App& parser, ServeOptions& options) {
  LogOptions& log = options.log;
  const auto set_folder = [&log](const std::string& folder) { log.folder = folder; };
  parser
      .add_option_function<std::string>("--log-folder", set_folder,
                                        "Where server.log goes [~/ml-fastvlm-logs]")
      ->option_text("DIR");
  const auto set_level = [&options](const std::string& name) {
    options.log_level = net::level_of(name);
  };
  parser
      .add_option_function<std::string>("--log-level", set_level,
                                        "What is logged: this and what is more important "
                                        "[info; error with --quiet, debug with --verbose]")
      ->check(one_of({"error", "warn", "info", "debug"}))
      ->option_text("error|warn|info|debug");
  const auto set_format = [&log](const std::string& name) {
    log.format = name == "json" ? LogFormat::kJson : LogFormat::kText;
    set_message_form(name == "json" ? MessageForm::kJson : MessageForm::kText);
  };
  parser
      .add_option_function<std::string>("--log-format", set_format,
                                        "Lines of text, or a JSON object a line [text]")
      ->check(one_of({"text", "json"}))
      ->trigger_on_parse()  // what is wrong with other flags is said in this format, too
      ->option_text("text|json");
  parser.add_flag("--log-answers", options.server.log_answers,
                  "Log the answers' texts, not only their sizes and times");
  add_seconds(parser, "--slow-request", options.server.slow,
              "Warn of requests and frames that take longer");
}

}  // namespace

void add_serve_flags(CLI::App& parser, ServeOptions& options) {
  parser
      .add_option(
          "--config", options.config_file,
          "File of flags in TOML, such as tools/deploy/fastvlm.toml; the command line overrides it")
      ->configurable(false)
      ->option_text("FILE");
  add_model_flags(parser, options.engine);
  parser.get_option("--model-path")->required(false);  // it may stand in the file
  add_access_flags(parser, options);
  add_answer_flags(parser, options);
  add_limit_flags(parser, options);
  add_picture_flags(parser, options.server.pictures.image);
  add_log_flags(parser, options);
}

}  // namespace fvlm
