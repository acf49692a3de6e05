// Limits on open connections, in all and for each client. The threat is slowloris: many connections
// that never send a request must not lock others out. At a limit the connection that has waited
// longest for a whole request, its first or its next, is closed in favour of the new one, of the
// same client if it is the client's limit. Only if all are busy is the new connection refused.
//
// Knows nothing of sockets: any transport reports its connections and how to close them. For one
// thread. Leases share its state, because connections may outlive their transport in the queue of
// an event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "net/http/quota.hpp"

namespace fvlm::net {

class ConnectionLimits : public std::enable_shared_from_this<ConnectionLimits> {
 public:
  // A connection's, as long as it is open.
  class Place {
   public:
    Place() = default;
    Place(std::shared_ptr<ConnectionLimits> limits, std::uint64_t id)
        : limits_(std::move(limits)), id_(id) {}
    Place(Place&& other) noexcept = default;
    Place& operator=(Place&& other) noexcept {
      std::swap(limits_, other.limits_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Place() {
      if (limits_ != nullptr) limits_->open_.erase(id_);
    }

    // A whole request has come: from now on it stays until it ends or rests.
    void keep() {
      if (limits_ == nullptr) return;
      const auto open = limits_->open_.find(id_);
      if (open != limits_->open_.end()) open->second.waits = false;
    }
    // It waits again, as the last in line.
    void rest() {
      if (limits_ == nullptr) return;
      auto open = limits_->open_.extract(id_);
      if (open.empty()) return;
      open.key() = id_ = limits_->next_id_++;
      open.mapped().waits = true;
      limits_->open_.insert(std::move(open));
    }

   private:
    std::shared_ptr<ConnectionLimits> limits_{};
    std::uint64_t id_ = 0;
  };

  ConnectionLimits(std::size_t limit, std::size_t limit_of_client)
      : limit_(limit), clients_(limit_of_client) {}

  // The place of a new connection, nothing if it is refused. Calls `cut` if it must go for another,
  // once, and not for its end.
  std::optional<Place> take(const std::string& client, std::function<void()> cut) {
    auto share = clients_.take(client);
    if (!share && cut_longest_waiting(&client)) share = clients_.take(client);
    if (!share || (open_.size() >= limit_ && !cut_longest_waiting(nullptr))) {
      ++refused_;
      return std::nullopt;
    }
    const std::uint64_t id = next_id_++;
    open_.emplace(id, Open{client, *std::move(share), std::move(cut)});
    return Place(shared_from_this(), id);
  }

  // Places stay, even beyond them.
  void set_limits(std::size_t limit, std::size_t limit_of_client) {
    limit_ = limit;
    clients_.set_limit(limit_of_client);
  }
  std::size_t open() const { return open_.size(); }
  // Connections cut or refused so far.
  std::uint64_t refused() const { return refused_; }

 private:
  struct Open {
    std::string client{};
    Quota::Lease share{};
    std::function<void()> cut{};
    bool waits = true;  // for a whole request
  };

  // Of one client, or of all. Whether there was one.
  bool cut_longest_waiting(const std::string* client) {
    for (auto each = open_.begin(); each != open_.end(); ++each) {
      if (!each->second.waits || (client != nullptr && each->second.client != *client)) continue;
      const std::function<void()> cut = std::move(each->second.cut);
      open_.erase(each);
      ++refused_;
      cut();
      return true;
    }
    return false;
  }

  std::size_t limit_;
  Quota clients_;
  std::uint64_t next_id_ = 1;
  std::uint64_t refused_ = 0;
  std::map<std::uint64_t, Open> open_;  // the oldest first
};

}  // namespace fvlm::net
