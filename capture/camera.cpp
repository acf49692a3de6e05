#include "capture/camera.hpp"

#include <fmt/format.h>

#include <utility>

namespace fvlm::capture {

Camera::Camera(const CameraOptions& options, Open open, Mailbox& mailbox, Counters& counters,
               Events events)
    : options_(options),
      open_(std::move(open)),
      mailbox_(mailbox),
      counters_(counters),
      events_(std::move(events)),
      thread_([this] { run(); }) {}

Camera::~Camera() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Camera::run() {
  while (!stopping()) {
    try {
      stream();
    } catch (const SourceError& error) {
      mailbox_.clear();
      counters_.lost.add();
      tell({false, error.trouble()});
      pause();
    }
  }
  mailbox_.clear();
}

void Camera::stream() {
  // Short enough that a stop is soon noticed.
  constexpr std::chrono::milliseconds kTurn{100};
  const std::unique_ptr<FrameSource> source = open_();
  counters_.opened.add();
  for (const std::string& note : source->notes()) events_.note(note);
  Clock::time_point heard = Clock::now();
  std::chrono::milliseconds patience = options_.start_timeout;
  while (!stopping()) {
    if (auto frame = source->next(kTurn)) {
      heard = Clock::now();
      patience = options_.frame_timeout;
      counters_.captured.add();
      mailbox_.put(*std::move(frame));
      if (!told_.live) tell({true, {Cause::kOther, source->description()}});
    } else if (Clock::now() - heard > patience) {
      throw SourceError(Cause::kNoFrames,
                        fmt::format("{}: no good frame for {:.1f} s", source->description(),
                                    std::chrono::duration<double>(patience).count()));
    }
  }
}

bool Camera::stopping() {
  last_turn_ = Clock::now();
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Camera::pause() {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, options_.retry, [this] { return stopping_; });
}

void Camera::tell(const CameraState& state) {
  if (told_ == state) return;
  told_ = state;
  events_.changed(told_);
}

}  // namespace fvlm::capture
