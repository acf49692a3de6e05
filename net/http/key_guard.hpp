// Checks API keys and rate-limits clients that send wrong ones, against brute force. A client
// that sends many different keys is refused without a check, for an exponentially growing time. One
// that repeats the same wrong key, such as a camera with an old key, learns nothing by it: that key
// alone is refused, and others behind the same address are not delayed.
//
// For one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/http/api_keys.hpp"

namespace fvlm::net {

class KeyGuard {
 public:
  using Clock = std::chrono::steady_clock;
  struct Verdict {
    enum class Kind { kRight, kMissing, kWrong, kWait } kind;
    // Until the client (or, for a repeated key, that key) is checked again.
    std::chrono::seconds wait{0};
    std::string name{};  // of the right key
  };

  // `free_tries`: wrong keys of a client before it is rate-limited; 0: no limit.
  KeyGuard(std::vector<ApiKey> keys, std::size_t free_tries)
      : keys_(std::move(keys)), free_tries_(free_tries) {}

  // Other keys from now on.
  void set(std::vector<ApiKey> keys, std::size_t free_tries);
  // False if there is no key.
  bool asks() const { return !keys_.empty(); }
  // Of an Authorization header, "Bearer KEY" or, for browsers, which ask their user, with the key
  // as the password of "Basic". Constant time over wrong keys, against timing attacks.
  Verdict check(const std::string& client, std::string_view authorization,
                Clock::time_point now = Clock::now());

 private:
  struct Tries {
    std::size_t count = 0;
    Clock::time_point last{};
    Clock::time_point until{};  // refused
  };

  // Counts one; returns how many there were before.
  std::size_t add(const std::string& name, Clock::time_point now);
  std::chrono::seconds left(const std::string& name, Clock::time_point now) const;
  void make_room(Clock::time_point now);

  std::vector<ApiKey> keys_;
  std::size_t free_tries_;
  std::unordered_map<std::string, Tries> tries_;  // of clients, and of each one's keys
};

}  // namespace fvlm::net
