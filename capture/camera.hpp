// The thread that keeps a source open: frames go to the mailbox; if the source fails, times out, or
// delivers only damaged frames, it is closed and reopened after a second.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "capture/link/mailbox.hpp"
#include "capture/source/counters.hpp"
#include "capture/source/source.hpp"

namespace fvlm::capture {

struct CameraState {
  bool live = false;
  Trouble trouble{};  // what is wrong; if it is live the text is the source

  bool operator==(const CameraState&) const = default;
};

struct CameraOptions {
  // Timeout of the first good frame: commands and sensors take time to start.
  std::chrono::milliseconds start_timeout{10'000};
  std::chrono::milliseconds frame_timeout{1500};  // timeout of each frame after it
  std::chrono::milliseconds retry{1000};
};

class Camera {
 public:
  using Open = std::function<std::unique_ptr<FrameSource>()>;
  // Called on the camera's thread.
  struct Events {
    std::function<void(const CameraState& state)> changed{};
    std::function<void(const std::string& note)> note{};
  };

  Camera(const CameraOptions& options, Open open, Mailbox& mailbox, Counters& counters,
         Events events);
  // Closes the source.
  ~Camera();
  Camera(const Camera&) = delete;
  Camera& operator=(const Camera&) = delete;

  // When its thread last made progress: a driver may hang in any call.
  Clock::time_point last_turn() const { return last_turn_; }

 private:
  void run();
  void stream();
  bool stopping();
  void pause();
  void tell(const CameraState& state);

  CameraOptions options_;
  Open open_;
  Mailbox& mailbox_;
  Counters& counters_;
  Events events_;
  CameraState told_{};
  std::atomic<Clock::time_point> last_turn_{Clock::now()};
  std::mutex mutex_{};
  std::condition_variable wake_{};
  bool stopping_ = false;
  std::thread thread_{};
};

}  // namespace fvlm::capture
