// One camera, from its source to the server and to its viewers: camera -> mailbox -> encoder ->
// server and view, on three threads.
//   camera    waits for frames and leaves the newest in the mailbox
//   encoder   waits for a request, and makes a JPEG of the newest frame
//   loop      network traffic with server and viewers, shared by all feeds; requests pictures
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "capture/camera.hpp"
#include "capture/encoder.hpp"
#include "capture/link/link.hpp"
#include "capture/link/mailbox.hpp"
#include "capture/source/counters.hpp"
#include "capture/source/source.hpp"
#include "capture/view.hpp"
#include "net/http/event_loop.hpp"
#include "net/process/log.hpp"

namespace fvlm::capture {

struct FeedOptions {
  SourceOptions source{};
  EncoderOptions encoder{};
  ServerAddress server{};
  LinkOptions link{};
  ViewOptions view{};
  bool log_answers = false;  // the texts of descriptions, else how long they are
};

class Feed {
 public:
  // `moved` is called when plan() may have something to do. Both that and all calls but the
  // constructor are on the loop's thread; the view must be attached before start().
  Feed(net::EventLoop& loop, const FeedOptions& options, net::Log log, std::function<void()> moved);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  const FeedOptions& options() const { return options_; }
  View& view() { return view_; }
  const Counters& counters() const { return counters_; }

  // Opens the source, for start() to use it: throws SourceError if that cannot work now. Without
  // it, or after an error, start() tries again and again.
  void open();
  void start();
  // Requests a picture from the encoder if the server or a viewer is due for one. Returns when to
  // call it again.
  Clock::time_point plan();
  // Says farewell to the server.
  void stop();
  // When the camera's thread last made progress.
  Clock::time_point last_turn() const { return camera_->last_turn(); }

 private:
  View::Controls view_controls();
  Link::Events link_events();
  void change_state(const std::function<void(protocol::State& state)>& change);

  void encode();
  void deliver(const Picture& picture);
  void on_camera(const CameraState& state);
  void on_link(Link::State state, const Trouble& why);
  void on_answer(const protocol::ServerMessage& message, const std::string& text);

  FeedOptions options_;
  net::Log log_;
  std::function<void()> moved_;
  Counters counters_{};
  net::EventLoop& loop_;
  Mailbox mailbox_;
  View view_;
  Link link_;
  Encoder encoder_;
  bool asked_ = false;  // a requested picture is pending
  std::unique_ptr<FrameSource> opened_{};
  std::unique_ptr<Camera> camera_{};
  std::thread encoding_{};
};

}  // namespace fvlm::capture
