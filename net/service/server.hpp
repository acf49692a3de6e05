// The server: what listens on the port, who may use it, and which part of it answers. Cameras and
// pages talk to a LiveService over WebSocket, programs to a ChatService over HTTP. One thread
// carries all traffic and all state here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/http/key_guard.hpp"
#include "net/http/transport.hpp"
#include "net/http/web_page.hpp"
#include "net/process/log.hpp"
#include "net/service/chat_service.hpp"
#include "net/service/inbox.hpp"
#include "net/service/live_service.hpp"
#include "net/service/metrics.hpp"
#include "net/service/picture_pool.hpp"
#include "runtime/engine/engine.hpp"

namespace fvlm::net {

struct ServerOptions {
  TransportOptions transport{};
  LiveOptions live{};
  ChatOptions chat{};
  std::string api_key{};                       // empty: none is asked for
  std::size_t free_wrong_keys = 5;             // of a client, before it must wait; 0: all
  std::vector<std::string> allowed_origins{};  // of browsers, besides this server's own pages
  bool open_to_all = false;                    // listen beyond loopback without a key
  // Of one turn of the engine; after that it counts as hanging.
  std::chrono::milliseconds longest_turn{300'000};
  PicturePoolOptions pictures{};
  Log log{};  // told of connections, frames, answers
};

class Server final : private TransportEvents {
 public:
  // Begins to listen. Throws Error if it cannot, or if the options would let anybody in.
  Server(Engine& engine, ServerOptions options);
  ~Server() override;

  std::uint16_t port() const { return transport_->port(); }
  // Serves until the end of drain().
  void run();
  // Refuses what is new, finishes what is begun within `patience`, and ends run(). Safe from any
  // thread and from several at once.
  void drain(std::chrono::milliseconds patience);
  // False if the engine hangs. Safe from any thread.
  bool alive() const;
  // Calls `work` on the thread that serves, soon. Safe from any thread.
  void post(std::function<void()> work) { transport_->post(std::move(work)); }

 private:
  using Clock = std::chrono::steady_clock;

  HttpResponse on_upgrade(const HttpRequest& request) override;
  void on_open(ConnectionId id, const HttpRequest& request) override;
  void on_message(ConnectionId id, std::string payload, bool binary) override;
  void on_close(ConnectionId id) override;
  std::optional<HttpResponse> on_http(ExchangeId id, HttpRequest request) override;
  void on_http_gone(ExchangeId id) override;
  void on_error(const std::string& what) override;

  // The refusal of a request from elsewhere or without the key, if it is one.
  std::optional<HttpResponse> refusal(const HttpRequest& request);
  std::optional<HttpResponse> refusal_for_key(const HttpRequest& request);
  // At once, or with nothing if the answer comes later.
  std::optional<HttpResponse> answer(ExchangeId id, HttpRequest request);
  HttpResponse answer_get(const HttpRequest& request) const;
  std::string metrics_text() const;
  void finish_if_drained();

  Engine& engine_;
  ServerOptions options_;
  KeyGuard key_;
  WebPage page_;
  Metrics metrics_;
  std::unique_ptr<Transport> transport_;
  std::shared_ptr<Inbox> inbox_;
  PicturePool pictures_;
  std::optional<LiveService> live_;
  std::optional<ChatService> chat_;
  std::optional<Clock::time_point> drain_until_;
};

}  // namespace fvlm::net
