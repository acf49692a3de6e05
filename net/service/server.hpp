// The server: its port, access control, and routing. Cameras and pages talk to a LiveService over
// WebSocket, programs to a ChatService over HTTP. One thread runs all network traffic and owns all
// state here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "fvlm/engine.hpp"
#include "net/http/gate.hpp"
#include "net/http/key_limiter.hpp"
#include "net/http/transport.hpp"
#include "net/http/web_page.hpp"
#include "net/process/log.hpp"
#include "net/service/chat_service.hpp"
#include "net/service/inbox.hpp"
#include "net/service/live_service.hpp"
#include "net/service/metrics.hpp"
#include "net/service/picture_pool.hpp"

namespace fvlm::net {

struct ServerOptions {
  TransportOptions transport{};
  LiveOptions live{};
  ChatOptions chat{};
  AccessOptions access{};
  // Timeout of an engine step, after which the engine counts as hanging.
  std::chrono::milliseconds step_timeout{300'000};
  PicturePoolOptions pictures{};
  Log log{};                 // connections, frames, answers, refusals
  bool log_answers = false;  // their texts, else how long they are
  // Requests and frames that take longer are logged as such.
  std::chrono::milliseconds slow{30'000};
  std::string version{};  // of the program, for the metrics
};

class Server final : private TransportEvents {
 public:
  // Checks the options and takes the port, without an engine, which takes long to load; clients are
  // refused until open(). Throws Error if something is wrong, or if the options would allow
  // unauthenticated access from other machines.
  explicit Server(ServerOptions options);
  // Begins to listen. Throws Error if another server has taken the port in between.
  void open(Engine& engine);
  // Both.
  Server(Engine& engine, ServerOptions options) : Server(std::move(options)) { open(engine); }
  ~Server() override;

  std::uint16_t port() const { return transport_->port(); }
  // Serves until the end of drain().
  void run();
  // Refuses new requests, finishes running ones within `patience`, and ends run(). Safe from any
  // thread and from several at once.
  void drain(std::chrono::milliseconds patience);
  // Other keys, origins, certificate, proxies, timeouts and limits, from now on, of which no
  // connection ends; what else is in the options stays as it is. If something is wrong nothing
  // changes. Logs what happened. Safe from any thread.
  void set(ServerOptions options);
  // False if the engine hangs. Safe from any thread.
  bool alive() const;
  // Calls `work` on the thread that serves, soon. Safe from any thread.
  void post(std::function<void()> work) { transport_->post(std::move(work)); }

 private:
  using Clock = std::chrono::steady_clock;

  std::optional<HttpResponse> on_head(HttpRequest& request) override;
  HttpResponse on_upgrade(HttpRequest& request) override;
  void on_open(ConnectionId id, const HttpRequest& request) override;
  void on_message(ConnectionId id, std::string payload, bool binary) override;
  void on_close(ConnectionId id) override;
  std::optional<HttpResponse> on_http(ExchangeId id, HttpRequest request) override;
  void on_http_gone(ExchangeId id) override;
  HttpResponse refusal(const HttpRequest& request, int status, const std::string& why) override;
  void on_exchange(const HttpExchange& exchange) override;
  void on_error(const std::string& what) override;

  // The refusal of a cross-origin request or one without the key, if it is one.
  std::optional<HttpResponse> refuse(HttpRequest& request);
  // The response, or nothing if it comes later.
  std::optional<HttpResponse> answer(ExchangeId id, HttpRequest request);
  HttpResponse answer_get(const HttpRequest& request) const;
  std::string metrics_text() const;
  void apply(ServerOptions options);
  void finish_if_drained();

  Engine* engine_ = nullptr;
  ServerOptions options_;
  WebPage page_;
  Gate gate_;
  KeyLimiter key_limits_;
  Metrics metrics_;
  std::unique_ptr<Transport> transport_;
  std::shared_ptr<Inbox> inbox_;
  std::optional<PicturePool> pictures_;
  std::optional<LiveService> live_;
  std::optional<ChatService> chat_;
  std::optional<Clock::time_point> drain_until_;
};

}  // namespace fvlm::net
