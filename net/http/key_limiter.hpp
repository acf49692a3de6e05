// The limits of API keys, counted by name: requests a minute by a token bucket that holds one
// minute's, streams and waiting frames by leases. The name of a request without a key is empty, and
// has no limits. For one thread, and longer-lived than its leases.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/http/api_keys.hpp"

namespace fvlm::net {

class KeyLimiter {
 public:
  using Clock = std::chrono::steady_clock;
  // Released when destroyed; empty where there is no limit.
  using Lease = std::shared_ptr<void>;

  explicit KeyLimiter(const std::vector<ApiKey>& keys) { set(keys); }
  KeyLimiter(const KeyLimiter&) = delete;
  KeyLimiter& operator=(const KeyLimiter&) = delete;

  // Other limits from now on. Leases stay, even beyond them.
  void set(const std::vector<ApiKey>& keys);

  // How long until the key may ask again; 0: it may now, and this counts.
  std::chrono::seconds take_request(const std::string& key, Clock::time_point now = Clock::now());
  // Nothing at the limit.
  std::optional<Lease> take_stream(const std::string& key) {
    return take(key, &KeyLimits::streams);
  }
  std::optional<Lease> take_waiting_frame(const std::string& key) {
    return take(key, &KeyLimits::waiting_frames);
  }
  bool has_stream(const std::string& key) const;

 private:
  struct State {
    KeyLimits limits{};
    KeyLimits held{};
    double requests = std::numeric_limits<double>::infinity();  // left; a minute's at most
    Clock::time_point filled{};
  };

  std::optional<Lease> take(const std::string& key, std::size_t KeyLimits::*what);

  std::map<std::string, State> states_;  // of keys with limits, now or once
};

}  // namespace fvlm::net
