// Measures the time complexity of some work: against inputs that are crafted to cost the square of
// their size. Time of the processor is measured, which other programs
// lengthen little, and the same machine is compared with itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>

namespace fvlm {

// Four times the input may take so many times as long: 4 would be linear, 16 quadratic; between
// them lie caches, logarithms and noise.
inline constexpr double kMostGrowth = 9;

// A sanitizer makes all that happens several times as slow: by this, bounds on time are longer, or
// inputs smaller.
#ifdef FVLM_SANITIZED
inline constexpr int kInstrumented = 10;
#else
inline constexpr int kInstrumented = 1;
#endif

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
  // The clock misses up to a tick of each other thread that runs as it is read.
  constexpr double kManyTicks = 0.05;
  constexpr int kMostRuns = 200;
  const auto seconds = [&](std::size_t n) {
    const auto input = make(n);
    const double start = processor_seconds();
    double spent = 0;
    int runs = 0;
    for (; runs < kMostRuns && spent < kManyTicks; ++runs) {
      work(input);
      spent = processor_seconds() - start;
    }
    return spent / runs;
  };
  constexpr double kNoise = 1e-4;
  const double once = seconds(size / kInstrumented);
  return seconds(4 * size / kInstrumented) / std::max(once, kNoise);
}

}  // namespace fvlm
