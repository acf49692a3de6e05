// Measures the time complexity of some work: against inputs that are crafted to cost the square of
// their size. Time of the processor is measured, which other programs
// lengthen little, and the same machine is compared with itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <limits>

namespace fvlm {

// Four times the input may take so many times as long: 4 would be linear, 16 quadratic; between
// them lie caches, logarithms and noise.
inline constexpr double kMostGrowth = 9;

inline double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The time of work(make(4 * size)) as a multiple of that of work(make(size)). The smaller should
// take a millisecond or more, or else be refused at once: what is below the clock's noise is not
// divided by.
template <class Make, class Work>
double growth(std::size_t size, const Make& make, const Work& work) {
  const auto seconds = [&](std::size_t n) {
    const auto input = make(n);
    double best = std::numeric_limits<double>::max();
    for (int i = 0; i < 5 && (i == 0 || best < 1); ++i) {
      const double start = processor_seconds();
      work(input);
      best = std::min(best, processor_seconds() - start);
    }
    return best;
  };
  constexpr double kNoise = 1e-4;
  const double once = seconds(size);
  return seconds(4 * size) / std::max(once, kNoise);
}

}  // namespace fvlm
