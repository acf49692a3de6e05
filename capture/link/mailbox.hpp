// Between the camera and the encoder: holds one frame, the newest, and gives it away only when
// somebody wants a picture. So frames that nobody will see cost nothing, and what is sent is as
// fresh as it can be.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "capture/source/counters.hpp"
#include "capture/source/frame.hpp"

namespace fvlm::capture {

class Mailbox {
 public:
  explicit Mailbox(Counters& counters) : counters_(counters) {}

  void put(Frame frame) {
    std::optional<Frame> old(std::move(frame));
    {
      const std::lock_guard lock(mutex_);
      std::swap(frame_, old);
    }
    if (old) counters_.replaced.add();  // it returns to its source here, outside the lock
    changed_.notify_one();
  }

  // The source is gone: an old frame is no news.
  void clear() {
    std::optional<Frame> old;
    const std::lock_guard lock(mutex_);
    std::swap(frame_, old);
  }

  // Lets one frame out, now or when it comes.
  void want() {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = true;
    }
    changed_.notify_one();
  }

  // Waits for a frame that is wanted; none after close().
  std::optional<Frame> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || (wanted_ && frame_); });
    if (closed_) return std::nullopt;
    wanted_ = false;
    return std::exchange(frame_, std::nullopt);
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

 private:
  Counters& counters_;
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::optional<Frame> frame_{};
  bool wanted_ = false;
  bool closed_ = false;
};

}  // namespace fvlm::capture
