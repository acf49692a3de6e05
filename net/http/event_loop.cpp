#include "net/http/event_loop.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <utility>

namespace fvlm::net {

namespace asio = boost::asio;
using boost::system::error_code;

struct EventLoop::Alarms {
  explicit Alarms(asio::io_context& context) : timer(context), signals(context) {}

  void wait_for_signal() {
    signals.async_wait([this](const error_code& error, int number) {
      if (error) return;
      wait_for_signal();  // or the next one would end us at once
      on_signal(number);
    });
  }

  asio::steady_timer timer;
  asio::signal_set signals;
  std::function<void(int)> on_signal{};
};

EventLoop::EventLoop()
    : context_(std::make_unique<asio::io_context>(1)),
      alarms_(std::make_unique<Alarms>(*context_)) {}
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
  timer->async_wait([timer, work = std::move(work)](const error_code& error) {
    if (!error) work();
  });
}

void EventLoop::set_alarm(std::chrono::steady_clock::time_point time, std::function<void()> work) {
  alarms_->timer.expires_at(time);  // the last one ends with an error, and says nothing
  alarms_->timer.async_wait([work = std::move(work)](const error_code& error) {
    if (!error) work();
  });
}

void EventLoop::on_signal(std::function<void(int)> work) {
  alarms_->on_signal = std::move(work);
  alarms_->signals.add(SIGINT);
  alarms_->signals.add(SIGTERM);
  alarms_->wait_for_signal();
}

}  // namespace fvlm::net
