// A memory budget in bytes. For any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace fvlm::net {

class MemoryBudget {
 public:
  // Holds its bytes until destroyed. Empty if the budget had too few.
  using Lease = std::shared_ptr<void>;

  explicit MemoryBudget(std::size_t limit) : limit_(limit) {}

  // Leases stay, even beyond it.
  void set_limit(std::size_t limit) { limit_ = limit; }
  Lease take(std::size_t bytes) {
    Lease lease(taken_.get(), [taken = taken_, bytes](void*) { *taken -= bytes; });
    return taken_->fetch_add(bytes) + bytes <= limit_ ? lease : Lease();
  }
  bool has(std::size_t bytes) const { return *taken_ + bytes <= limit_; }

 private:
  std::shared_ptr<std::atomic<std::size_t>> taken_ = std::make_shared<std::atomic<std::size_t>>(0);
  std::atomic<std::size_t> limit_;
};

}  // namespace fvlm::net
