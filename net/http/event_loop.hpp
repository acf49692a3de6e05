// The one thread of a program that does its network traffic: a queue of work and times, without a
// word of Boost.Asio in its interface.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace fvlm::net {

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Works until stop(), on the caller's thread.
  void run();
  // Safe from any thread.
  void stop();
  void post(std::function<void()> work);
  // On the loop's thread only.
  void after(std::chrono::milliseconds time, std::function<void()> work);
  // The one alarm: a new one takes the place of the last. On the loop's thread only.
  void set_alarm(std::chrono::steady_clock::time_point time, std::function<void()> work);
  // Calls `work` with each SIGTERM or SIGINT that comes.
  void on_signal(std::function<void(int)> work);

  boost::asio::io_context& context() { return *context_; }

 private:
  struct Alarms;

  std::unique_ptr<boost::asio::io_context> context_;
  std::unique_ptr<Alarms> alarms_;
};

}  // namespace fvlm::net
