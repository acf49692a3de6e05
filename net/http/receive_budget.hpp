// Memory for what clients send: the bodies of requests until they have been read, and WebSocket
// messages until they are whole. Counted as bytes arrive, since a client may announce what it never
// sends; what is short is not counted, so that those who send little need not wait for others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/http/memory_budget.hpp"
#include "net/http/quota.hpp"

namespace fvlm::net {

class ReceiveBudget {
 public:
  // In bytes: of all clients together, and of each.
  ReceiveBudget(std::size_t limit, std::size_t limit_of_client)
      : all_(limit), clients_(limit_of_client) {}

  void set_limits(std::size_t limit, std::size_t limit_of_client) {
    all_.set_limit(limit);
    clients_.set_limit(limit_of_client);
  }
  // Whether there is room for so many more bytes of a client.
  bool has_room(const std::string& client, std::size_t bytes) const {
    return bytes <= kUncounted || (all_.has(bytes) && clients_.allows(client, bytes));
  }

  // What one body or message holds. Released when destroyed, on any thread.
  class Share {
   public:
    Share(ReceiveBudget& budget, std::string client)
        : budget_(&budget), client_(std::move(client)) {}

    // Whether it may hold so many bytes in all.
    bool grow_to(std::size_t bytes) {
      while (bytes > kUncounted && bytes > held_) {
        MemoryBudget::Lease of_all = budget_->all_.take(kStep);
        auto of_client = budget_->clients_.take(client_, kStep);
        if (!of_all || !of_client) return false;
        leases_.insert(leases_.end(), {std::move(of_all), *std::move(of_client)});
        held_ += kStep;
      }
      return true;
    }
    // Hands over what it holds, and holds nothing.
    std::shared_ptr<void> take() {
      held_ = 0;
      return std::make_shared<std::vector<std::shared_ptr<void>>>(std::exchange(leases_, {}));
    }

   private:
    ReceiveBudget* budget_;
    std::string client_;
    std::size_t held_ = 0;
    std::vector<std::shared_ptr<void>> leases_{};
  };

 private:
  static constexpr std::size_t kUncounted = std::size_t{64} << 10;
  static constexpr std::size_t kStep = std::size_t{256} << 10;

  MemoryBudget all_;
  Quota clients_;
};

}  // namespace fvlm::net
