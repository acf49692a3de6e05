// Asks for the key, and makes clients that give wrong ones wait, so that nobody finds it by trying.
// A client that gives many different keys is refused without a look, longer each time. One that
// gives the same wrong key over and over learns nothing by it, as a camera does whose key is old:
// that key waits alone, and others behind the same address go on.
//
// For one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace fvlm::net {

class KeyGuard {
 public:
  using Clock = std::chrono::steady_clock;
  struct Verdict {
    enum class Kind { kRight, kMissing, kWrong, kWait } kind;
    // Until the client, or with the same key the key, is looked at again.
    std::chrono::seconds wait{0};
  };

  // `free_tries`: wrong keys of a client without consequences; 0: all are.
  KeyGuard(std::string key, std::size_t free_tries)
      : key_(std::move(key)), free_tries_(free_tries) {}

  // False if there is no key.
  bool asks() const { return !key_.empty(); }
  // Of an Authorization header, "Bearer KEY" or, for browsers, which ask their user for it, with
  // the key as the password of "Basic". Takes as long for any wrong key.
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

  std::string key_;
  std::size_t free_tries_;
  std::unordered_map<std::string, Tries> tries_;  // of clients, and of each one's keys
};

}  // namespace fvlm::net
