#include "capture/event_loop.hpp"

#include <asio.hpp>
#include <csignal>
#include <utility>

namespace fvlm::capture {

struct EventLoop::Alarm {
  asio::steady_timer timer;
};

EventLoop::EventLoop()
    : context_(std::make_unique<asio::io_context>(1)),
      alarm_(new Alarm{asio::steady_timer(*context_)}) {}
EventLoop::~EventLoop() = default;

void EventLoop::run() {
  const auto forever = asio::make_work_guard(*context_);
  context_->run();
}

void EventLoop::stop() {
  context_->stop();
}

void EventLoop::post(std::function<void()> work) {
  asio::post(*context_, std::move(work));
}

void EventLoop::after(std::chrono::milliseconds time, std::function<void()> work) {
  const auto timer = std::make_shared<asio::steady_timer>(*context_, time);
  timer->async_wait([timer, work = std::move(work)](const std::error_code& error) {
    if (!error) work();
  });
}

void EventLoop::set_alarm(std::chrono::steady_clock::time_point time, std::function<void()> work) {
  alarm_->timer.expires_at(time);  // the last one ends with an error, and says nothing
  alarm_->timer.async_wait([work = std::move(work)](const std::error_code& error) {
    if (!error) work();
  });
}

void EventLoop::on_signal(std::function<void(int)> work) {
  const auto signals = std::make_shared<asio::signal_set>(*context_, SIGINT, SIGTERM);
  signals->async_wait([signals, work = std::move(work)](const std::error_code& error, int number) {
    if (!error) work(number);
  });
}

}  // namespace fvlm::capture
