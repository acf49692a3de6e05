// The web server on port 8080: the page and its files, live pictures, the server's answers, and for
// other programs /stream.mjpg, /snapshot.jpg, /metrics and /healthz.
//
// A page of the original system connects to /ws and gets "frame" messages with base64 and the
// server's "description" messages. Ours says {"type": "configure", "binary": true} and then gets
// pictures as binary messages, and "state", "history", "token" and other texts besides.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "capture/source/counters.hpp"
#include "capture/source/picture.hpp"
#include "capture/viewers.hpp"
#include "net/http/event_loop.hpp"
#include "net/http/gate.hpp"
#include "net/http/transport.hpp"
#include "net/http/web_page.hpp"
#include "net/process/log.hpp"
#include "net/protocol/viewer_messages.hpp"

namespace fvlm::capture {

struct PageOptions {
  net::TransportOptions transport{.port = 8080,
                                  .max_message_bytes = std::size_t{64} << 10,
                                  .max_body_bytes = std::size_t{64} << 10,
                                  .max_connections = 64,
                                  // A browser takes up to six for a page.
                                  .max_connections_per_address = 32,
                                  // Two pictures are underway to one viewer at most.
                                  .max_unsent_bytes = std::size_t{64} << 20,
                                  .response_timeout = std::chrono::milliseconds(0)};
  net::AccessOptions access{};
  double rate = 15;  // pictures a second, at most
};

class Page final : private net::TransportEvents {
 public:
  struct Controls {
    std::function<void(const std::string& prompt)> prompt{};
    std::function<void(double seconds)> interval{};
    std::function<void()> moved{};  // ask wants_picture() and next_time() again
    net::Log log{};
  };

  // Begins to listen. Throws std::runtime_error if it cannot, or if the options would allow
  // unauthenticated access from other machines.
  Page(net::EventLoop& loop, PageOptions options, Counters& counters, Controls controls);

  std::uint16_t port() const { return transport_->port(); }
  bool wants_picture() const;
  // When it may need the next one.
  Clock::time_point next_time() const;
  void show(const Picture& picture);
  // What the server said.
  void pass_on(const protocol::ServerMessage& message, const std::string& text);
  // Changes the state and sends it to viewers.
  void set_state(const protocol::State& state);
  const protocol::State& state() const { return state_; }
  void stop();

 private:
  using ViewerId = Viewers::ViewerId;

  std::optional<net::HttpResponse> on_head(net::HttpRequest& request) override;
  net::HttpResponse on_upgrade(net::HttpRequest& request) override;
  void on_open(ViewerId id, const net::HttpRequest& request) override;
  void on_message(ViewerId id, std::string payload, bool binary) override;
  void on_pong(ViewerId id, const std::string& payload) override;
  void on_close(ViewerId id) override;
  std::optional<net::HttpResponse> on_http(net::ExchangeId id, net::HttpRequest request) override;
  void on_http_flushed(net::ExchangeId id) override { viewers_->flushed(id); }
  void on_http_gone(net::ExchangeId id) override { viewers_->gone(id); }
  net::HttpResponse refusal(const net::HttpRequest& request, int status,
                            const std::string& why) override;
  void on_error(const std::string& what) override;

  std::optional<net::HttpResponse> refuse(net::HttpRequest& request);
  // With whom may read or embed it.
  net::HttpHeaders headers_for(const net::HttpRequest& request) const;
  // Nothing if pictures answer it.
  std::optional<net::HttpResponse> answer(net::ExchangeId id, const net::HttpRequest& request);
  net::HttpResponse health() const;
  net::HttpResponse metrics() const;

  PageOptions options_;
  net::WebPage files_;
  net::Gate gate_;
  Counters& counters_;
  Controls controls_;
  protocol::State state_{};
  std::set<ViewerId> pages_{};
  std::set<ViewerId> ours_{};  // of them, those that sent "configure"
  std::deque<std::string> history_{};
  Clock::time_point due_{};
  std::unique_ptr<net::Transport> transport_;
  std::optional<Viewers> viewers_;
};

}  // namespace fvlm::capture
