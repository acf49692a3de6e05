// The whole client: camera -> mailbox -> encoder -> server and page, on three threads.
//   camera    waits for frames and leaves the newest in the mailbox
//   encoder   waits for a request, and makes a JPEG of the newest frame
//   loop      network traffic with server and viewers; requests pictures
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "capture/camera.hpp"
#include "capture/encoder.hpp"
#include "capture/link/link.hpp"
#include "capture/link/mailbox.hpp"
#include "capture/page.hpp"
#include "capture/source/counters.hpp"
#include "capture/source/source.hpp"
#include "net/http/event_loop.hpp"
#include "net/process/log.hpp"

namespace fvlm::capture {

struct ClientOptions {
  SourceOptions source{};
  EncoderOptions encoder{};
  ServerAddress server{};
  LinkOptions link{};
  PageOptions page{};
  bool log_answers = false;  // the texts of descriptions, else how long they are
};

class Client {
 public:
  // Begins to listen for viewers. Throws if it cannot.
  Client(const ClientOptions& options, net::Log log);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::uint16_t port() const { return page_.port(); }
  net::EventLoop& loop() { return loop_; }
  // Works until stop(). `alive` is called periodically while all threads make progress.
  void run(std::function<void()> alive);
  // Ends run(). On the loop's thread.
  void stop();

 private:
  Page::Controls page_controls();
  Link::Events link_events();
  void change_state(const std::function<void(protocol::State& state)>& change);

  void encode();
  void deliver(const Picture& picture);
  void on_camera(const CameraState& state);
  void on_link(Link::State state, const std::string& why);
  void on_answer(const protocol::ServerMessage& message, const std::string& text);
  // Requests a picture from the encoder if the server or a viewer is due for one, and schedules the
  // next call.
  void plan();
  void beat(const std::function<void()>& alive);

  ClientOptions options_;
  net::Log log_;
  Counters counters_{};
  net::EventLoop loop_{};
  Mailbox mailbox_;
  Page page_;
  Link link_;
  Encoder encoder_;
  bool asked_ = false;  // a requested picture is pending
  std::unique_ptr<Camera> camera_{};
  std::thread encoding_{};
};

}  // namespace fvlm::capture
