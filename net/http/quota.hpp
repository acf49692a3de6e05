// A quota for each client, so that one cannot take all of a resource. For one thread, and
// longer-lived than its leases.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace fvlm::net {

// The most that one client may hold of `total`: what is set, or a quarter.
inline std::size_t share_of(std::size_t total, std::size_t set) {
  return set != 0 ? set : (total + 3) / 4;
}

class Quota {
 public:
  // Released when destroyed.
  using Lease = std::shared_ptr<void>;

  explicit Quota(std::size_t limit) : limit_(limit) {}
  Quota(const Quota&) = delete;
  Quota& operator=(const Quota&) = delete;

  // Leases stay, even beyond it.
  void set_limit(std::size_t limit) { limit_ = limit; }
  // Nothing if the client would exceed its quota. A client that holds nothing may take any amount:
  // a quota smaller than one image must not block all images.
  std::optional<Lease> take(const std::string& client, std::size_t amount = 1) {
    const std::size_t before = held(client);
    if (before != 0 && before + amount > limit_) return std::nullopt;
    if (amount == 0) return Lease();
    held_[client] += amount;
    return Lease(nullptr, [this, client, amount](void*) {
      const auto share = held_.find(client);
      share->second -= amount;
      if (share->second == 0) held_.erase(share);
    });
  }
  std::size_t held(const std::string& client) const {
    const auto share = held_.find(client);
    return share == held_.end() ? 0 : share->second;
  }

 private:
  std::size_t limit_;
  std::unordered_map<std::string, std::size_t> held_;  // of clients with a lease
};

}  // namespace fvlm::net
