// The time that a step takes.
#pragma once

#include <chrono>

namespace fvlm {

class Stopwatch {
 public:
  // Since construction.
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace fvlm
