// The whole client: one feed for each camera, and the page that shows them, on one event loop. What
// happens to one camera or its server does not touch the others.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "capture/feed.hpp"
#include "capture/page.hpp"
#include "net/http/event_loop.hpp"
#include "net/process/log.hpp"

namespace fvlm::capture {

struct ClientOptions {
  std::vector<FeedOptions> feeds{};  // at least one
  PageOptions page{};
  // Begin without a camera, and keep trying; else there must be one at least.
  bool wait_for_camera = false;
};

class Client {
 public:
  // Opens the cameras and begins to listen for viewers. Throws if it cannot, SourceError if no
  // camera can be opened and that is not to be waited for.
  Client(const ClientOptions& options, net::Log log);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::uint16_t port() const { return page_->port(); }
  net::EventLoop& loop() { return loop_; }
  // Works until stop(). `alive` is called periodically while this thread and that of a camera make
  // progress: a driver that hangs is no reason to restart the others.
  void run(const std::function<void()>& alive);
  // Ends run(). On the loop's thread.
  void stop();

 private:
  void open_cameras(bool wait);
  void plan();
  void beat(const std::function<void()>& alive);

  net::Log log_;
  net::EventLoop loop_{};
  std::vector<std::unique_ptr<Feed>> feeds_{};
  std::unique_ptr<Page> page_{};
};

}  // namespace fvlm::capture
