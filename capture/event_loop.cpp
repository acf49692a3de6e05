#include "capture/event_loop.hpp"

#include <asio.hpp>
#include <csignal>
#include <utility>

namespace fvlm::capture {

EventLoop::EventLoop() : context_(std::make_unique<asio::io_context>(1)) {}
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

void EventLoop::on_signal(std::function<void(int)> work) {
  const auto signals = std::make_shared<asio::signal_set>(*context_, SIGINT, SIGTERM);
  signals->async_wait([signals, work = std::move(work)](const std::error_code& error, int number) {
    if (!error) work(number);
  });
}

}  // namespace fvlm::capture
