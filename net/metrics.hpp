// What the server counts, in the text format of Prometheus. For one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace fvlm::net {

// How many values were at most each of the bounds, and their sum.
class Histogram {
 public:
  void add(double seconds);
  // Lines of the metric `name`, without its head.
  std::string text(const std::string& name, const std::string& label) const;

 private:
  static constexpr std::array<double, 12> kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                     0.5,   1,    2.5,   5,    10,  30};
  std::array<std::int64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

struct Metrics {
  std::map<std::string, std::int64_t> frames{};  // by outcome: described, skipped, failed ...
  std::map<std::string, Histogram> stages{};     // seconds of preprocess, encode, prefill ...
  std::int64_t frames_received = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t new_tokens = 0;

  // With what is the case now: open connections, frames that wait, frames being described.
  std::string text(std::int64_t connections, std::int64_t waiting, std::int64_t running) const;
};

}  // namespace fvlm::net
