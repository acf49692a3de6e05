// The server's metrics, in the text format of Prometheus. For one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "fvlm/core/histogram.hpp"
#include "fvlm/engine.hpp"

namespace fvlm::net {

class Metrics {
 public:
  // Gauges.
  struct Now {
    std::int64_t connections = 0;
    std::int64_t frames_waiting = 0;  // queued in the server; more are queued in the engine
    std::int64_t frames_running = 0;
    std::int64_t chats_running = 0;
    std::int64_t refused_connections = 0;  // so far, like the next two
    std::int64_t wrong_keys = 0;
    std::int64_t refused_keys = 0;
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
  // Images that were described although their files are damaged.
  void add_damaged_pictures(std::int64_t count) { damaged_pictures_ += count; }
  // Of a completed answer.
  void add(const Statistics& statistics);

  std::string text(const Now& now) const;

 private:
  std::map<std::string, std::int64_t> frames_;
  std::map<std::string, std::int64_t> chats_;
  std::map<std::string, Histogram> stages_;
  std::int64_t frames_received_ = 0;
  std::int64_t damaged_pictures_ = 0;
  std::int64_t prompt_tokens_ = 0;
  std::int64_t cached_tokens_ = 0;
  std::int64_t new_tokens_ = 0;
  std::int64_t drafted_tokens_ = 0;
  std::int64_t accepted_tokens_ = 0;
};

}  // namespace fvlm::net
