// What the server counts, in the text format of Prometheus. For one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "runtime/engine.hpp"

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

class Metrics {
 public:
  // What is the case at a moment.
  struct Now {
    std::int64_t connections = 0;
    std::int64_t frames_waiting = 0;  // in the server; more wait in the engine
    std::int64_t frames_running = 0;
    std::int64_t chats_running = 0;
    bool draining = false;
    EngineCounters engine{};
    std::int64_t weight_bytes = 0;
    std::int64_t scratch_bytes = 0;
  };

  Metrics();

  void receive_frame() { ++frames_received_; }
  // `outcome`: described, unchanged, skipped, abandoned, or the code of an error.
  void end_frame(const std::string& outcome, std::int64_t count = 1) { frames_[outcome] += count; }
  // `outcome`: answered, abandoned, or the code of an error.
  void end_chat(const std::string& outcome) { ++chats_[outcome]; }
  // Of an answer that came to its end.
  void add(const Statistics& statistics);

  std::string text(const Now& now) const;

 private:
  std::map<std::string, std::int64_t> frames_;
  std::map<std::string, std::int64_t> chats_;
  std::map<std::string, Histogram> stages_;
  std::int64_t frames_received_ = 0;
  std::int64_t prompt_tokens_ = 0;
  std::int64_t cached_tokens_ = 0;
  std::int64_t new_tokens_ = 0;
  std::int64_t drafted_tokens_ = 0;
  std::int64_t accepted_tokens_ = 0;
};

}  // namespace fvlm::net
