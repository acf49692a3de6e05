#include "net/server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "fvlm/core/error.hpp"
#include "net/access.hpp"
#include "net/page.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kEndpoint = "/ws";

double milliseconds(Server::Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

HttpResponse text_response(int status, std::string text) {
  return {status, "text/plain; charset=utf-8", std::move(text) + "\n", {}};
}

}  // namespace

Server::Server(Engine& engine, ServerOptions options)
    : engine_(engine), options_(std::move(options)), workers_(options_.decoders) {
  if (options_.api_key.empty() && !options_.open_to_all && !is_loopback(options_.transport.host)) {
    throw Error(
        "listening on {} without an API key lets anybody who reaches this machine use it: give "
        "--api-key, or --open-to-all if that is wanted",
        options_.transport.host);
  }
  try {
    transport_ = Transport::listen(options_.transport, *this);
  } catch (const std::system_error& error) {
    throw Error("cannot listen on {}; is another server running? --port chooses another",
                error.what());
  }
  inbox_ = std::make_shared<Inbox>(*transport_);
}

Server::~Server() {
  inbox_->close();
  for (const auto& [id, client] : clients_) {
    if (client.current && client.current->request) engine_.cancel(*client.current->request);
  }
  workers_.stop();
}

void Server::run() {
  transport_->run();
}

void Server::drain(std::chrono::milliseconds patience) {
  transport_->post([this, patience] {
    if (drain_until_) return;
    drain_until_ = Clock::now() + patience;
    transport_->stop_listening();
    finish_if_drained();
  });
}

// Looked at again until all that was begun has been answered, or patience is at its end.
void Server::finish_if_drained() {
  const bool busy = std::any_of(clients_.begin(), clients_.end(), [](const auto& entry) {
    return entry.second.current.has_value() || !entry.second.waiting.empty();
  });
  if (!busy || Clock::now() >= *drain_until_) {
    transport_->stop();
    return;
  }
  transport_->after(std::chrono::milliseconds(20), [this] { finish_if_drained(); });
}

void Server::log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

// HTTP -------------------------------------------------------------------------------------------

std::optional<HttpResponse> Server::refusal(const HttpRequest& request) const {
  if (!options_.api_key.empty()) {
    if (!carries_key(request.authorization, options_.api_key)) {
      HttpResponse response = text_response(401, "this server wants its API key");
      response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"fastvlm\"");
      return response;
    }
  } else if (!options_.open_to_all && !names_loopback(request.host)) {
    return text_response(403, "this server answers to localhost only");
  }
  if (!origin_is_welcome(request.origin, request.host, options_.allowed_origins)) {
    return text_response(403, "pages of " + request.origin +
                                  " may not use this server; --allow-origin would let them");
  }
  return std::nullopt;
}

HttpResponse Server::on_upgrade(const HttpRequest& request) {
  if (auto response = refusal(request)) return *response;
  if (request.path != kEndpoint) return text_response(404, "WebSocket connections go to /ws");
  if (drain_until_) return text_response(503, "the server is stopping");
  return text_response(101, "");
}

HttpResponse Server::on_http(const HttpRequest& request) {
  if (auto response = refusal(request)) return *response;
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = text_response(405, "only GET is understood here");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  if (request.path == "/livez") return text_response(200, "ok");
  if (request.path == "/readyz") {
    return drain_until_ ? text_response(503, "stopping") : text_response(200, "ok");
  }
  if (request.path == "/metrics") {
    std::int64_t waiting = 0;
    std::int64_t running = 0;
    for (const auto& [id, client] : clients_) {
      waiting += std::ssize(client.waiting);
      running += client.current.has_value() ? 1 : 0;
    }
    return {200,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics_.text(std::ssize(clients_), waiting, running),
            {}};
  }
  if (const auto file = page_file(request.path)) {
    return {200,
            std::string(file->content_type),
            std::string(file->content),
            {{"Cache-Control", "no-cache"},
             {"X-Content-Type-Options", "nosniff"},
             {"Content-Security-Policy",
              "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
              "connect-src 'self' ws: wss:; frame-ancestors 'none'"}}};
  }
  if (request.path == kEndpoint) return text_response(426, "this is where WebSockets connect");
  return text_response(404, "there is nothing here; the page is at /");
}

// WebSocket --------------------------------------------------------------------------------------

void Server::on_open(ConnectionId id, const HttpRequest& request) {
  clients_.emplace(id, Client{.peer = request.peer,
                              .prompt = options_.prompt,
                              .max_new_tokens = options_.max_new_tokens});
  log(fmt::format("🔌 {} connected, {} in all", request.peer, clients_.size()));
}

void Server::on_close(ConnectionId id) {
  const auto known = clients_.find(id);
  if (known == clients_.end()) return;
  const Client& client = known->second;
  if (client.current && client.current->request) engine_.cancel(*client.current->request);
  metrics_.frames["abandoned"] += std::ssize(client.waiting) + (client.current ? 1 : 0);
  log(fmt::format("🔌 {} disconnected after {} frames", client.peer, client.frames));
  clients_.erase(known);
}

void Server::on_message(ConnectionId id, std::string payload, bool binary) {
  const auto known = clients_.find(id);
  if (known == clients_.end()) return;
  if (binary) {
    take_frame(id, known->second, std::move(payload));
  } else {
    take_text(id, known->second, payload);
  }
}

void Server::take_text(ConnectionId id, Client& client, const std::string& text) {
  const ClientMessage message = read_client_message(text);
  if (const auto* settings = std::get_if<Configure>(&message)) {
    configure(id, client, *settings);
  } else if (std::holds_alternative<Cancel>(message)) {
    cancel(id, client);
  } else {
    transport_->send(id, write_error("bad_message", std::get<Unreadable>(message).why, {}));
  }
}

void Server::configure(ConnectionId id, Client& client, const Configure& message) {
  Sampling sampling;
  sampling.temperature = message.temperature.value_or(client.temperature);
  sampling.max_new_tokens = message.max_new_tokens.value_or(client.max_new_tokens);
  if (const std::string problem = sampling.problem(); !problem.empty()) {
    transport_->send(id, write_error("bad_message", problem, {}));
    return;
  }
  client.configured = true;
  client.temperature = sampling.temperature;
  client.max_new_tokens = std::min(sampling.max_new_tokens, options_.max_new_tokens);
  client.prompt = message.prompt.value_or(client.prompt);
  client.stream = message.stream.value_or(client.stream);
  client.request_id = message.request_id.value_or(client.request_id);
}

void Server::cancel(ConnectionId id, Client& client) {
  for (const Frame& frame : std::exchange(client.waiting, {})) {
    fail(id, client, frame.id, "cancelled", "cancelled before its turn");
  }
  if (!client.current) return;
  if (client.current->request) {
    engine_.cancel(*client.current->request);  // its end is answered when it comes
  } else {
    const std::int64_t frame_id = client.current->frame_id;
    client.current.reset();
    fail(id, client, frame_id, "cancelled", "cancelled");
  }
}

// Those who send "configure" want the newest frame; the original's clients one answer to each.
void Server::take_frame(ConnectionId id, Client& client, std::string bytes) {
  ++metrics_.frames_received;
  const std::int64_t frame_id = ++client.frames;
  if (client.configured) {
    for (const Frame& frame : std::exchange(client.waiting, {})) {
      ++metrics_.frames["skipped"];
      transport_->send(id, write_skipped(frame.id));
    }
  } else if (client.waiting.size() >= options_.max_waiting_frames) {
    transport_->close(id, CloseReason::kPolicy, "frames come faster than they are answered");
    return;
  }
  log(fmt::format("📥 {} frame {}, {} KB", client.peer, frame_id, bytes.size() / 1000));
  client.waiting.push_back({frame_id, std::move(bytes), Clock::now()});
  begin_next(id, client);
}

void Server::begin_next(ConnectionId id, Client& client) {
  if (client.current || client.waiting.empty()) return;
  Frame frame = std::move(client.waiting.front());
  client.waiting.pop_front();
  client.current = Current{.frame_id = frame.id, .arrived = frame.arrived};
  workers_.put([this, id, frame_id = frame.id, bytes = std::move(frame.bytes)] {
    try {
      const auto decoded =
          std::make_shared<Image>(decode_image(std::as_bytes(std::span(bytes)), "the picture"));
      inbox_->post([this, id, frame_id, decoded] {
        if (client_at(id, frame_id) != nullptr) describe(id, frame_id, std::move(*decoded));
      });
    } catch (const std::exception& error) {
      inbox_->post([this, id, frame_id, why = std::string(error.what())] {
        if (Client* waiting = client_at(id, frame_id)) {
          waiting->current.reset();
          fail(id, *waiting, frame_id, "bad_image", why);
        }
      });
    }
  });
}

void Server::describe(ConnectionId id, std::int64_t frame_id, Image image) {
  Client& client = clients_.at(id);
  Request request;
  Turn& turn = request.conversation.emplace_back();
  turn.text = client.prompt;
  turn.images.push_back(std::move(image));
  request.sampling.temperature = client.temperature;
  request.sampling.max_new_tokens = client.max_new_tokens;
  request.on_text = [this, inbox = inbox_, id, frame_id](std::string_view text) {
    inbox->post([this, id, frame_id, piece = std::string(text)] { on_text(id, frame_id, piece); });
  };
  request.on_done = [this, inbox = inbox_, id, frame_id](const Result& result) {
    inbox->post([this, id, frame_id, result] { on_done(id, frame_id, result); });
  };
  try {
    client.current->submitted = Clock::now();
    client.current->request = engine_.submit(std::move(request));
  } catch (const Error& error) {
    client.current.reset();
    fail(id, client, frame_id, "bad_request", error.what());
  }
}

void Server::on_text(ConnectionId id, std::int64_t frame_id, const std::string& text) {
  Client* client = client_at(id, frame_id);
  if (client != nullptr && client->stream) transport_->send(id, write_token(text, frame_id));
}

void Server::on_done(ConnectionId id, std::int64_t frame_id, const Result& result) {
  Client* client = client_at(id, frame_id);
  if (client == nullptr) return;
  const Current current = *std::exchange(client->current, std::nullopt);
  if (result.outcome == Outcome::kFailed || result.outcome == Outcome::kCancelled) {
    const bool cancelled = result.outcome == Outcome::kCancelled;
    fail(id, *client, frame_id, cancelled ? "cancelled" : "failed",
         cancelled ? "cancelled" : result.error);
    return;
  }
  const auto now = Clock::now();
  const Statistics& s = result.statistics;
  Description description{.content = result.text, .time = std::chrono::system_clock::now()};
  if (client->configured) {
    description.details = {
        .frame_id = frame_id,
        .ttft_ms = milliseconds(current.submitted - current.arrived) + 1000 * s.ttft_s,
        .total_ms = milliseconds(now - current.arrived),
        .tokens = result.statistics.new_tokens,
        .request_id = client->request_id};
  }
  transport_->send(id, write_description(description));
  log(fmt::format("✨ {} frame {}, {:.0f} ms: {}", client->peer, frame_id,
                  milliseconds(now - current.arrived), result.text));
  ++metrics_.frames["described"];
  metrics_.prompt_tokens += s.prompt_tokens;
  metrics_.cached_tokens += s.cached_tokens;
  metrics_.new_tokens += s.new_tokens;
  for (const auto& [stage, seconds] : {std::pair("preprocess", s.preprocess_s),
                                       {"encode", s.encode_s},
                                       {"prefill", s.prefill_s},
                                       {"first_token", s.ttft_s},
                                       {"decode", s.decode_s},
                                       {"total", s.total_s}}) {
    metrics_.stages[stage].add(seconds);
  }
  begin_next(id, *client);
}

// Answers a frame that is not described, then goes on with the next.
void Server::fail(ConnectionId id, Client& client, std::int64_t frame_id, const std::string& code,
                  const std::string& why) {
  ++metrics_.frames[code];
  log(fmt::format("❌ {} frame {}: {}", client.peer, frame_id, why));
  if (client.configured) {
    transport_->send(id, write_error(code, why, frame_id));
  } else {
    transport_->send(id, write_description({.content = "处理出错: " + why,
                                            .time = std::chrono::system_clock::now()}));
  }
  begin_next(id, client);
}

Server::Client* Server::client_at(ConnectionId id, std::int64_t frame_id) {
  const auto known = clients_.find(id);
  if (known == clients_.end()) return nullptr;
  Client& client = known->second;
  return client.current && client.current->frame_id == frame_id ? &client : nullptr;
}

}  // namespace fvlm::net
