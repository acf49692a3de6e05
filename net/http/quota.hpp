// A quota for each client, so that one cannot take all of a resource. For any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
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

  explicit Quota(std::size_t limit) { set_limit(limit); }

  // Leases stay, even beyond it.
  void set_limit(std::size_t limit) {
    const std::lock_guard lock(state_->mutex);
    state_->limit = limit;
  }
  // Nothing if the client would exceed its quota. A client that holds nothing may take any amount:
  // a quota smaller than one image must not block all images.
  std::optional<Lease> take(const std::string& client, std::size_t amount = 1) {
    const std::lock_guard lock(state_->mutex);
    if (!state_->allows(client, amount)) return std::nullopt;
    if (amount == 0) return Lease();
    state_->held[client] += amount;
    return Lease(nullptr, [state = state_, client, amount](void*) {
      const std::lock_guard release(state->mutex);
      const auto share = state->held.find(client);
      share->second -= amount;
      if (share->second == 0) state->held.erase(share);
    });
  }
  // Whether take() would succeed now.
  bool allows(const std::string& client, std::size_t amount) const {
    const std::lock_guard lock(state_->mutex);
    return state_->allows(client, amount);
  }
  std::size_t held(const std::string& client) const {
    const std::lock_guard lock(state_->mutex);
    return state_->held_by(client);
  }

 private:
  struct State {
    std::size_t held_by(const std::string& client) const {
      const auto share = held.find(client);
      return share == held.end() ? 0 : share->second;
    }
    bool allows(const std::string& client, std::size_t amount) const {
      const std::size_t before = held_by(client);
      return before == 0 || before + amount <= limit;
    }

    std::mutex mutex{};
    std::size_t limit = 0;
    std::unordered_map<std::string, std::size_t> held{};  // of clients with a lease
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace fvlm::net
