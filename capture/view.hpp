// What viewers of one camera see: its pictures, its state, the server's answers; and what they ask
// of it. A page of the original system gets "frame" messages with base64 and the server's
// "description" messages. Ours says {"type": "configure", "binary": true} and then gets pictures as
// binary messages, and "state", "history", "token" and other texts besides.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "capture/source/counters.hpp"
#include "capture/source/picture.hpp"
#include "capture/viewers.hpp"
#include "net/http/transport.hpp"
#include "net/protocol/viewer_messages.hpp"

namespace fvlm::capture {

struct ViewOptions {
  std::string name = "camera";  // in paths: letters, digits, '-' and '_'
  std::string title{};          // for people; empty: the name
  int place = 0;                // on the page, among others: the smallest is the first
  int size = 1;                 // on the page: columns and rows of its grid
  double rate = 15;             // pictures a second, at most
};

class View {
 public:
  using ViewerId = Viewers::ViewerId;
  struct Controls {
    std::function<void(const std::string& prompt)> prompt{};
    std::function<void(double seconds)> interval{};
    std::function<void()> moved{};  // ask wants_picture() and next_time() again
  };

  View(ViewOptions options, Counters& counters, Controls controls);

  const ViewOptions& options() const { return options_; }
  // Before all that follows: what the viewers are connected through.
  void attach(net::Transport& transport);
  bool wants_picture() const;
  // When it may need the next one.
  Clock::time_point next_time() const;
  void show(const Picture& picture);
  // What the server said.
  void pass_on(const protocol::ServerMessage& message, const std::string& text);
  // Changes the state and sends it to viewers.
  void set_state(const protocol::State& state);
  const protocol::State& state() const { return state_; }
  bool is_well() const { return state_.camera_live && state_.server == "ready"; }

  void open(ViewerId id);
  void close(ViewerId id);
  void take(ViewerId id, const std::string& text);
  void acknowledge(ViewerId id, const std::string& payload) { viewers_->acknowledge(id, payload); }
  // Answers with the next picture, or why there is none; with all of them.
  std::optional<net::HttpResponse> snapshot(net::ExchangeId id, net::HttpHeaders headers);
  void stream(net::ExchangeId id, net::HttpHeaders headers);
  void flushed(net::ExchangeId id) { viewers_->flushed(id); }
  void gone(net::ExchangeId id) { viewers_->gone(id); }
  std::size_t count() const { return viewers_->count(); }
  void stop() { viewers_->stop(); }

 private:
  ViewOptions options_;
  Counters& counters_;
  Controls controls_;
  net::Transport* transport_ = nullptr;
  protocol::State state_{};
  std::set<ViewerId> pages_{};
  std::set<ViewerId> ours_{};  // of them, those that sent "configure"
  std::deque<std::string> history_{};
  Clock::time_point due_{};
  std::optional<Viewers> viewers_{};
};

}  // namespace fvlm::capture
