#include "net/service/server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <web_files.hpp>  // generated: kWebFiles

#include "fvlm/error.hpp"
#include "net/http/access.hpp"
#include "net/http/one_line.hpp"
#include "net/http/proxy.hpp"
#include "net/process/prometheus.hpp"
#include "net/service/routes.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kEndpoint = "/ws";

constexpr char kExposed[] =
    "listening on another address than this machine's own without an API key lets anybody who "
    "reaches it use it: give --api-key-file FILE, or --open-to-all if that is wanted";

// Limits, of which one makes another useless.
void check_limits(const ServerOptions& options) {
  const TransportOptions& transport = options.transport;
  const auto mb = [](std::size_t bytes) { return fmt::format("{} MB", bytes >> 20); };
  const auto seconds = [](std::chrono::milliseconds time) {
    return fmt::format("{} s", static_cast<double>(time.count()) / 1000);
  };
  const auto at_least = [](const char* flag, auto value, const char* least, auto bound,
                           const auto& text) {
    if (value >= bound) return;
    throw Error(fmt::format("{} is {}, it must be at least {}, which is {}", flag, text(value),
                            least, text(bound)));
  };
  const auto count = [](std::size_t number) { return std::to_string(number); };
  at_least("--max-received-size", transport.max_received_bytes, "--max-body-size",
           transport.max_body_bytes, mb);
  at_least("--max-received-size", transport.max_received_bytes, "--max-message-size",
           transport.max_message_bytes, mb);
  at_least("--max-waiting-size", options.live.max_waiting_bytes, "--max-message-size",
           transport.max_message_bytes, mb);
  at_least("--max-connections", transport.max_connections, "--max-connections-per-address",
           transport.max_connections_per_address, count);
  at_least("--max-chats", options.chat.max_chats, "--max-chats-per-address",
           options.chat.max_chats_per_address, count);
  at_least("--max-received-size", transport.max_received_bytes, "--max-received-size-per-address",
           transport.max_received_bytes_per_address, mb);
  at_least("--max-waiting-size", options.live.max_waiting_bytes, "--max-waiting-size-per-address",
           options.live.max_waiting_bytes_per_address, mb);
  at_least("--max-decoded-size", options.pictures.max_bytes, "--max-decoded-size-per-address",
           options.pictures.max_bytes_per_address, mb);
  if (transport.ping_interval >= transport.idle_timeout) {
    throw Error(
        fmt::format("--ping-interval is {}, it must be less than --idle-timeout, which is {}: "
                    "else clients that answer pings are closed",
                    seconds(transport.ping_interval), seconds(transport.idle_timeout)));
  }
}

// What can be wrong in options by themselves.
void check(const ServerOptions& options) {
  if (options.access.exposes(options.transport.host)) throw Error(kExposed);
  if (const auto wrong = wrong_origin(options.access.allowed_origins)) throw Error(*wrong);
  if (const auto wrong = wrong_network(options.transport.trusted_proxies)) throw Error(*wrong);
  check_limits(options);
  if (options.transport.certificate_file.empty() != options.transport.key_file.empty()) {
    throw Error("TLS wants both a certificate and its key: --tls-cert and --tls-key");
  }
}

LogFields fields_of(const HttpRequest& request) {
  return {.client = request.peer, .request_id = request.request_id, .key = request.key};
}

bool is_our_fault(int status) {
  return status >= 500 && status != 501 && status != 503;
}

// What clients do by mistake, or page by page, is no reason to wake anybody.
LogLevel level_for(int status) {
  constexpr std::array<int, 5> kUsual = {404, 405, 426, 499, 501};
  if (status < 400) return LogLevel::kDebug;
  if (is_our_fault(status)) return LogLevel::kError;
  return std::find(kUsual.begin(), kUsual.end(), status) == kUsual.end() ? LogLevel::kWarning
                                                                         : LogLevel::kInfo;
}

// `path`: of the request, whose API says the error's shape.
HttpResponse failure(const std::string& path, int status, const std::string& why) {
  struct Code {
    int status;
    const char* name;
  };
  constexpr std::array<Code, 7> kCodes = {{{404, "not_found"},
                                           {405, "method_not_allowed"},
                                           {408, "request_timeout"},
                                           {413, "body_too_long"},
                                           {415, "unsupported_content_encoding"},
                                           {500, "internal_error"},
                                           {503, "unavailable"}}};
  const auto code = std::find_if(kCodes.begin(), kCodes.end(),
                                 [&](const Code& each) { return each.status == status; });
  return error_response(
      {.status = status,
       .message = why,
       .type = status == 500 || status == 503 ? "server_error" : "invalid_request_error",
       .code = code == kCodes.end() ? "bad_request" : code->name},
      path);
}

}  // namespace

Server::Server(ServerOptions options)
    : options_(std::move(options)),
      page_(kWebFiles, "img-src 'self' blob: data:; media-src 'self' blob:"),
      gate_(options_.access, {"server", "API key", "fastvlm"}, page_,
            [this](const std::string& line, const HttpRequest& request) {
              options_.log(LogLevel::kWarning, line, fields_of(request));
            }),
      key_limits_(options_.access.keys) {
  check(options_);
  options_.transport.base_path = normal_base_path(options_.transport.base_path);
  if (const auto wrong = wrong_base_path(options_.transport.base_path)) throw Error(*wrong);
  options_.log = [log = options_.log](LogLevel level, const std::string& text,
                                      const LogFields& fields) {
    log(level, one_line(text, kLongestLine), fields);
  };
  try {
    transport_ = Transport::bind(options_.transport);
  } catch (const std::runtime_error& error) {
    throw Error(error.what());
  }
}

void Server::open(Engine& engine) {
  engine_ = &engine;
  pictures_.emplace(engine, options_.pictures);
  inbox_ = std::make_shared<Inbox>(*transport_);
  options_.chat.readers = options_.pictures.threads;
  const Reporting reporting{options_.log, options_.log_answers, options_.slow};
  live_.emplace(engine, *transport_, inbox_, *pictures_, metrics_, key_limits_, reporting,
                options_.live);
  chat_.emplace(engine, *transport_, inbox_, *pictures_, metrics_, key_limits_, reporting,
                options_.chat);
  try {
    transport_->open(*this);
  } catch (const std::runtime_error& error) {
    throw Error(error.what());
  }
}

Server::~Server() {
  if (inbox_ == nullptr) return;
  inbox_->close();
  pictures_->stop();
}

void Server::set(ServerOptions options) {
  transport_->post([this, options = std::move(options)]() mutable {
    try {
      apply(std::move(options));
      options_.log(LogLevel::kInfo, "✅ settings are read again");
    } catch (const std::exception& error) {
      options_.log(LogLevel::kError,
                   fmt::format("❌ the settings stay as they were: {}", error.what()));
    }
  });
}

// What can throw comes first.
void Server::apply(ServerOptions options) {
  check(options);
  if (options.access.exposes(options_.transport.host)) throw Error(kExposed);
  transport_->set(options.transport);
  gate_.set(options.access);
  key_limits_.set(options.access.keys);
  live_->set(options.live);
  chat_->set(options.chat);
  options_.access = std::move(options.access);
  options_.step_timeout = options.step_timeout;
}

void Server::run() {
  transport_->run();
}

bool Server::alive() const {
  return std::chrono::duration<double>(engine_->counters().step_s) <= options_.step_timeout;
}

void Server::drain(std::chrono::milliseconds patience) {
  transport_->post([this, patience] {
    if (drain_until_) return;
    drain_until_ = Clock::now() + patience;
    transport_->drain();
    live_->drain();
    chat_->drain();
    finish_if_drained();
  });
}

// Polled until all running requests are answered, or `patience` is over: the rest are told.
// Meanwhile the port stays open, so that load balancers get 503 from /readyz.
void Server::finish_if_drained() {
  const bool busy = live_->waiting() + live_->running() + chat_->running() > 0;
  if (!busy || Clock::now() >= *drain_until_) {
    live_->cut();
    chat_->cut();
    transport_->stop();
    return;
  }
  transport_->after(std::chrono::milliseconds(20), [this] { finish_if_drained(); });
}

// HTTP -------------------------------------------------------------------------------------------

// Every failure is an error in the shape of the API.
std::optional<HttpResponse> Server::refuse(HttpRequest& request) {
  auto refusal = gate_.refuse_caller(request);
  const bool foreign = refusal.has_value();
  // CORS preflights carry no key; the page has no secret, and asks its reader for the key.
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  const bool is_open = request.method == "OPTIONS" || (is_read && page_.has(request.path));
  if (!refusal && !is_open) refusal = gate_.refuse_key(request);
  if (!refusal) return std::nullopt;
  const auto& [status, text, code, headers, reason] = *refusal;
  HttpResponse response =
      error_response({.status = status, .message = text, .code = code}, request.path);
  response.reason = reason;
  for (const auto& [name, value] : headers) {
    // At "Basic" a browser asks its user for a password; programs know what to do.
    if (status != 401 || !is_api_path(request.path)) response.set_header(name, value);
  }
  return readable_by(foreign ? "" : request.origin, std::move(response));
}

std::optional<HttpResponse> Server::on_head(HttpRequest& request) {
  return refuse(request);
}

HttpResponse Server::on_upgrade(HttpRequest& request) {
  if (auto response = refuse(request)) return *std::move(response);
  if (request.path != kEndpoint)
    return failure(request.path, 404, "WebSocket connections go to /ws");
  if (drain_until_) return failure(request.path, 503, "the server is stopping");
  if (!key_limits_.has_stream(request.key)) {
    return error_response({.status = 429,
                           .message = "this key has as many streams as it may have",
                           .type = "rate_limit_error",
                           .code = "busy"},
                          request.path);
  }
  return {.status = 101};
}

std::optional<HttpResponse> Server::on_http(ExchangeId id, HttpRequest request) {
  const std::string origin = request.origin;
  auto response = answer(id, std::move(request));
  if (response) response = readable_by(origin, *std::move(response));
  return response;
}

std::optional<HttpResponse> Server::answer(ExchangeId id, HttpRequest request) {
  constexpr std::array<std::string_view, 8> kKnown = {"GET",    "HEAD",  "POST",    "PUT",
                                                      "DELETE", "PATCH", "CONNECT", "TRACE"};
  const Route* route = route_of(request.path);
  if (request.method == "OPTIONS") return options_response(request, allowed_methods(route));
  if (std::find(kKnown.begin(), kKnown.end(), request.method) == kKnown.end()) {
    return failure(request.path, 501,
                   one_line(request.method, kLongestQuote) + " is no method of this server");
  }
  const std::string quoted = one_line(request.path, kLongestQuote);
  if (request.method == "CONNECT" || request.method == "TRACE" ||
      (route != nullptr && !route->takes(request.method))) {
    HttpResponse response = failure(
        request.path, 405,
        fmt::format("{} is for {}, not {}", quoted, allowed_methods(route), request.method));
    response.set_header("Allow", std::string(allowed_methods(route)));
    return response;
  }
  if (route == nullptr) {
    return failure(request.path, 404,
                   fmt::format("there is nothing at {}, only at {}", quoted, list_of_routes()));
  }
  if (is_api_path(request.path)) return chat_->answer(id, std::move(request));
  return answer_get(request);
}

void Server::on_http_gone(ExchangeId id) {
  chat_->abandon(id);
}

HttpResponse Server::refusal(const HttpRequest& request, int status, const std::string& why) {
  const bool foreign = gate_.refuse_caller(request).has_value();
  return readable_by(
      foreign ? "" : request.origin,
      failure(request.path, status, status == 413 ? why + "; see --max-body-size" : why));
}

void Server::on_exchange(const HttpExchange& exchange) {
  const auto& [method, path, peer, key, id, status, reason, detail, seconds] = exchange;
  metrics_.end_request(path, status, key);
  if (status >= 400 && !is_our_fault(status) && !reason.empty()) metrics_.reject(reason);
  if (reason == "wrong_key") return;  // the gate has said so
  const std::chrono::duration<double> time(seconds);
  const bool slow = time > options_.slow && status != 101;
  const LogLevel level = slow ? std::max(level_for(status), LogLevel::kWarning) : level_for(status);
  options_.log(
      level,
      fmt::format("{}{} {} {}: {} in {:.0f} ms{}", level >= LogLevel::kWarning ? "⚠️ " : "",
                  peer, one_line(method, kLongestQuote), one_line(path, kLongestQuote), status,
                  1000 * seconds, slow ? ", slow" : "") +
          (detail.empty() ? "" : ": " + detail),
      {.client = peer, .request_id = id, .key = key});
}

void Server::on_error(const std::string& what) {
  options_.log(LogLevel::kError, "❌ internal error: " + what);
}

HttpResponse Server::answer_get(const HttpRequest& request) const {
  if (request.path == "/livez" || request.path == "/health") {
    return alive() ? text_response(200, "ok")
                   : failure(request.path, 503,
                             "a step of the engine has taken longer than --step-timeout");
  }
  if (request.path == "/readyz") {
    return drain_until_ ? failure(request.path, 503, "the server is stopping")
                        : text_response(200, "ok");
  }
  if (request.path == "/metrics") {
    return {200, prometheus::kContentType, metrics_text(), {}};
  }
  if (auto file = page_.response(request.path)) return *std::move(file);
  if (request.path == kEndpoint) {
    HttpResponse response = failure(request.path, 426, "this is where WebSockets connect");
    response.headers.emplace_back("Upgrade", "websocket");
    return response;
  }
  return failure(request.path, 404, "the page has no such file");
}

std::string Server::metrics_text() const {
  return metrics_.text(
      {.connections = live_->connections(),
       .frames_waiting = live_->waiting(),
       .frames_running = live_->running(),
       .chats_running = chat_->running(),
       .refused_connections = static_cast<std::int64_t>(transport_->refused_connections()),
       .wrong_keys = gate_.wrong_keys(),
       .refused_keys = gate_.refused_keys(),
       .draining = drain_until_.has_value(),
       .engine = engine_->counters(),
       .weight_bytes = engine_->info().weight_bytes,
       .scratch_bytes = engine_->info().scratch_bytes,
       .build = {.version = options_.version,
                 .model = engine_->info().model,
                 .device = engine_->info().device,
                 .precision = engine_->info().precision}});
}

// WebSocket --------------------------------------------------------------------------------------

void Server::on_open(ConnectionId id, const HttpRequest& request) {
  live_->open(id, request);
}

void Server::on_message(ConnectionId id, std::string payload, bool binary) {
  live_->receive(id, std::move(payload), binary);
}

void Server::on_close(ConnectionId id) {
  live_->close(id);
}

}  // namespace fvlm::net
