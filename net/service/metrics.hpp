// The server's metrics, in the text format of Prometheus. Every label has few values: routes and
// reasons are ours, names of keys the operator's. For one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "fvlm/core/histogram.hpp"
#include "fvlm/engine.hpp"

namespace fvlm::net {

class Metrics {
 public:
  // What never changes.
  struct Build {
    std::string version{};
    std::string model{};
    std::string device{};
    std::string precision{};
  };
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
    Build build{};
  };

  Metrics();

  void receive_frame() { ++frames_received_; }
  // `outcome`: described, unchanged, skipped, abandoned, or the code of an error.
  void end_frame(const std::string& outcome, std::int64_t count = 1) { frames_[outcome] += count; }
  // `path`: of protocols(); `outcome`: answered, abandoned, or the code of an error.
  void end_chat(const std::string& path, const std::string& outcome) { ++chats_[{outcome, path}]; }
  // Images that were described although their files are damaged.
  void add_damaged_pictures(std::int64_t count) { damaged_pictures_ += count; }
  // Of a completed answer, which was submitted to the engine `before_s` after it was asked for.
  void add(const Statistics& statistics, double before_s);
  // An HTTP request or WebSocket handshake with `key`, by its name.
  void end_request(std::string_view path, int status, const std::string& key);
  // A request or frame that is refused; `reason` is a word.
  void reject(const std::string& reason) { ++rejections_[reason]; }

  std::string text(const Now& now) const;

 private:
  std::string chats_text() const;

  static constexpr std::initializer_list<double> kSeconds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

  std::map<std::string, std::int64_t> frames_;
  std::map<std::pair<std::string, std::string>, std::int64_t> chats_;  // outcome, route
  std::map<std::string, std::int64_t> rejections_;
  std::map<std::tuple<std::string, int, std::string>, std::int64_t> requests_;  // route, code, key
  std::map<std::string, Histogram> stages_;
  Histogram in_queue_{kSeconds};
  Histogram to_first_token_{kSeconds};
  Histogram between_tokens_{kSeconds};
  Histogram answers_{kSeconds};
  std::int64_t frames_received_ = 0;
  std::int64_t damaged_pictures_ = 0;
  std::int64_t prompt_tokens_ = 0;
  std::int64_t cached_tokens_ = 0;
  std::int64_t new_tokens_ = 0;
  std::int64_t drafted_tokens_ = 0;
  std::int64_t accepted_tokens_ = 0;
};

}  // namespace fvlm::net
