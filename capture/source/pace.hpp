// Times for a source that makes its own frames: evenly apart, and none made up for when late.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "capture/source/frame.hpp"

namespace fvlm::capture {

class Pace {
 public:
  explicit Pace(double rate)
      : period_(
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate))) {}

  // Sleeps until the next one is due, at most `patience`; whether it is.
  bool wait(std::chrono::milliseconds patience) {
    const Clock::time_point now = Clock::now();
    if (due_ > now + patience) {
      std::this_thread::sleep_for(patience);
      return false;
    }
    std::this_thread::sleep_until(due_);
    due_ = std::max(due_ + period_, now);
    return true;
  }

 private:
  Clock::duration period_;
  Clock::time_point due_ = Clock::now();
};

}  // namespace fvlm::capture
