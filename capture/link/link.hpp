// The conversation with the server. The original one: a picture, one text back, and nothing else.
// With `stream`, ours: "configure" first, tokens on the way. In both, one picture is underway; the
// newest of the camera waits in the mailbox. If the connection breaks, it is tried again after a
// time that doubles from 250 ms to 5 s, more or less, so that many cameras do not come at once; the
// picture that was underway is reported as unanswered, and the newest goes instead.
//
// Time is given, not asked for, and connecting is a function: tests are the clock and the server.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "capture/link/link_socket.hpp"
#include "capture/source/counters.hpp"
#include "capture/source/frame.hpp"
#include "capture/source/picture.hpp"
#include "net/protocol/messages.hpp"

namespace fvlm::capture {

struct LinkOptions {
  bool stream = false;
  std::string prompt{};                                // empty: the server's; only with `stream`
  int max_new_tokens = 0;                              // 0: the server's; only with `stream`
  std::chrono::milliseconds interval{1000};            // from picture to picture, at least
  std::chrono::milliseconds answer_patience{120'000};  // for one answer
};

class Link {
 public:
  enum class State { kConnecting, kReady, kLost };
  using Connect = std::function<std::unique_ptr<LinkSocket>(LinkSocket::Events)>;
  struct Events {
    std::function<void(State state, const Trouble& why)> changed{};
    // With the text as it came.
    std::function<void(const protocol::ServerMessage& message, const std::string& text)> answered{};
    std::function<void(const std::string& why)> unanswered{};
    std::function<void()> moved{};  // ask wants_picture() and next_time() again
  };
  using Now = std::function<Clock::time_point()>;

  Link(const LinkOptions& options, Connect connect, Now now, Counters& counters, Events events);

  // Does what is due: connects, gives up on an answer.
  void tick();
  // When to tick again.
  Clock::time_point next_time() const;
  bool wants_picture() const;
  void show(const Picture& picture);

  // Says farewell to the server, for good.
  void stop();

  void set_prompt(const std::string& prompt);
  void set_interval(std::chrono::milliseconds interval) { options_.interval = interval; }
  const LinkOptions& options() const { return options_; }

 private:
  void open();
  void take(const std::string& text);
  void lose(const Trouble& why);
  void configure();
  bool ends_frame(const protocol::ServerMessage& message) const;
  void count(const protocol::ServerMessage& message);

  LinkOptions options_;
  Connect connect_;
  Now now_;
  Counters& counters_;
  Events events_;
  State state_ = State::kLost;
  std::unique_ptr<LinkSocket> socket_{};
  bool underway_ = false;         // a picture
  Clock::time_point sent_{};      // when
  Clock::time_point due_{};       // the next picture
  Clock::time_point retry_at_{};  // the next connection
  std::chrono::milliseconds retry_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace fvlm::capture
