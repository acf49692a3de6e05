#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace fvlm {

// Whether it becomes true in time. Patience costs nothing where it does: short is only a promise.
inline bool wait_for(const std::function<bool()>& true_yet,
                     std::chrono::milliseconds patience = std::chrono::seconds(30)) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!true_yet()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace fvlm
