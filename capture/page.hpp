// The web server on port 8080: the page and its files, live pictures, the server's answers, and for
// other programs /stream.mjpg, /snapshot.jpg, /metrics and /healthz.
//
// A page of the original system connects to /ws and gets "frame" messages with base64 and the
// server's "description" messages. Ours says {"type": "configure", "binary": true} and then gets
// pictures as binary messages, and "state", "history", "token" and other texts besides.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "capture/link/event_loop.hpp"
#include "capture/page_transport.hpp"
#include "capture/source/counters.hpp"
#include "capture/source/picture.hpp"
#include "net/http/gate.hpp"
#include "net/http/web_page.hpp"
#include "net/process/log.hpp"
#include "net/protocol/viewer_messages.hpp"

namespace fvlm::capture {

struct PageOptions {
  PageAddress address{};
  net::AccessOptions access{};
  double rate = 15;  // pictures a second, at most
};

class Page final : private PageEvents {
 public:
  struct Controls {
    std::function<void(const std::string& prompt)> prompt{};
    std::function<void(double seconds)> interval{};
    std::function<void()> moved{};  // ask wants_picture() and next_time() again
    net::Log log{};
  };

  // Begins to listen. Throws std::runtime_error if it cannot, or if the options would allow
  // unauthenticated access from other machines.
  Page(EventLoop& loop, PageOptions options, Counters& counters, Controls controls);

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
  void stop() { transport_->stop(); }

 private:
  net::HttpResponse on_upgrade(const net::HttpRequest& request) override;
  PageAnswer on_request(const net::HttpRequest& request) override;
  void on_open(ViewerId id, const net::HttpRequest& request) override;
  void on_text(ViewerId id, const std::string& text) override;
  void on_close(ViewerId id) override;

  PageAnswer answer_to(const net::HttpRequest& request);
  net::HttpResponse health() const;

  PageOptions options_;
  net::WebPage files_;
  net::Gate gate_;
  Counters& counters_;
  Controls controls_;
  protocol::State state_{};
  std::set<ViewerId> viewers_{};
  std::set<ViewerId> ours_{};  // of them, those that sent "configure"
  std::deque<std::string> history_{};
  Clock::time_point due_{};
  std::unique_ptr<PageTransport> transport_;
};

}  // namespace fvlm::capture
