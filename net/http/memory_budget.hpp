// A memory budget in bytes that several threads share.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace fvlm::net {

class MemoryBudget {
 public:
  // Holds its bytes until destroyed. Empty if the budget had too few.
  using Lease = std::shared_ptr<void>;

  explicit MemoryBudget(std::size_t bytes) : bytes_(bytes) {}

  Lease take(std::size_t bytes) {
    Lease lease(taken_.get(), [taken = taken_, bytes](void*) { *taken -= bytes; });
    return taken_->fetch_add(bytes) + bytes <= bytes_ ? lease : Lease();
  }

 private:
  std::shared_ptr<std::atomic<std::size_t>> taken_ = std::make_shared<std::atomic<std::size_t>>(0);
  std::size_t bytes_;
};

}  // namespace fvlm::net
