// Pinned memory for pictures, from which copies to a device run while the host goes on. Pinning
// takes longer than preparing a picture, so that memory is kept for the next one. Any thread may be
// the first to call CUDA here, which would otherwise open the first device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "fvlm/ops/pixels.hpp"
#include "kernels/cuda/primitives/memory.hpp"

namespace fvlm {

// Safe from any thread.
template <Target target>
class PixelPool {
 public:
  explicit PixelPool(int device) : shelf_(std::make_shared<Shelf>(device)) {}

  // Memory for `bytes`, which returns here when nobody needs it any more, whoever is gone by then.
  Pixels take(std::size_t bytes) {
    auto buffer = std::make_shared<PinnedBuffer<target>>(shelf_->find(bytes));
    auto* const data = buffer->template as<std::uint8_t>();
    return Pixels(data, [shelf = shelf_, buffer = std::move(buffer)](std::uint8_t*) {
      shelf->put_back(std::move(*buffer));
    });
  }

 private:
  class Shelf {
   public:
    explicit Shelf(int device) : device_(device) {}

    PinnedBuffer<target> find(std::size_t bytes) {
      use_device<target>(device_);
      {
        const std::lock_guard lock(mutex_);
        while (!free_.empty()) {
          PinnedBuffer<target> last = std::move(free_.back());
          free_.pop_back();
          if (last.bytes() == bytes) return last;
        }
      }
      return PinnedBuffer<target>(bytes);
    }
    void put_back(PinnedBuffer<target> buffer) {
      constexpr std::size_t kMost = 128;  // pictures of four large passes
      const std::lock_guard lock(mutex_);
      if (free_.size() < kMost) free_.push_back(std::move(buffer));
    }

   private:
    const int device_;
    std::mutex mutex_;
    std::vector<PinnedBuffer<target>> free_;
  };

  std::shared_ptr<Shelf> shelf_;
};

}  // namespace fvlm
