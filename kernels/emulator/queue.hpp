// Streams, events and graphs in the emulator: work is done at once, or captured.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace fvlm::emulator {

struct Recording {
  std::vector<std::function<void()>> work{};
  bool open = true;
};

struct Queue {
  std::shared_ptr<Recording> recording{};
  bool asked = true;  // whether it is idle, since work was put on it

  bool records() const { return recording && recording->open; }

  template <class F>
  void submit(F&& work) {
    if (records()) {
      recording->work.emplace_back(std::forward<F>(work));
    } else {
      asked = false;
      work();
    }
  }
};

// A place on a stream; a stream that waits for one of a recording joins it.
struct Mark {
  std::shared_ptr<Recording> recording{};
  std::chrono::steady_clock::time_point time{};
};

}  // namespace fvlm::emulator
