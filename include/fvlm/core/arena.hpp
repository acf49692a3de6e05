// Scratch memory for one forward pass: a stack of allocations over a block that is given once.
// The same code run over an arena without memory (Arena::measuring()) tells how much a pass needs,
// so the block has the right size before the first run and nothing is allocated afterwards.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "fvlm/core/view.hpp"
#include "fvlm/error.hpp"

namespace fvlm {

class Arena {
 public:
  // Allocates nothing: an arena of size zero.
  Arena() = default;
  // Gives out memory from [base, base + capacity); base may be device memory.
  Arena(void* base, std::size_t capacity)
      : base_(static_cast<std::byte*>(base)), capacity_(capacity) {}
  // Gives out null pointers and counts.
  static Arena measuring() { return {nullptr, std::numeric_limits<std::size_t>::max()}; }

  // Everything allocated during a scope's life is given back at its end.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), used_(arena.used_) {}
    ~Scope() { arena_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    std::size_t used_;
  };

  template <class T>
  T* allocate(std::int64_t count) {
    const std::size_t bytes =
        (static_cast<std::size_t>(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
    if (bytes > capacity_ - used_) {
      throw Error("scratch memory: " + std::to_string(bytes) + " bytes needed, " +
                  std::to_string(capacity_ - used_) + " of " + std::to_string(capacity_) +
                  " are free");
    }
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += bytes;
    high_water_ = std::max(high_water_, used_);
    return reinterpret_cast<T*>(at);
  }

  template <class T>
  View<T> matrix(std::int64_t rows, std::int64_t cols) {
    return {allocate<T>(rows * cols), rows, cols, cols};
  }

  template <class T>
  FeatureMap<T> feature_map(std::int64_t batch, std::int64_t height, std::int64_t width,
                            std::int64_t channels) {
    return {allocate<T>(batch * height * width * channels), batch, height, width, channels};
  }

  // Bytes in use: what is allocated next begins there.
  std::size_t used() const { return used_; }
  // The most bytes that were ever in use at once.
  std::size_t high_water() const { return high_water_; }

 private:
  static constexpr std::size_t kAlign = 256;  // of CUDA's coalesced loads; 64 would do for a CPU

  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t high_water_ = 0;
};

}  // namespace fvlm
