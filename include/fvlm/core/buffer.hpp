// Owned host memory for weights, caches and scratch: aligned for any vector load and, when large,
// placed on huge pages, which saves most of the address translation while weights stream by.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace fvlm {

class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;

  // Uninitialised memory; throws std::bad_alloc.
  explicit Buffer(std::size_t bytes) : bytes_(bytes) {
    const std::size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    if (rounded == 0) return;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
    if (!data_) throw std::bad_alloc();
    if (alignment == kHugePage) ::madvise(data_.get(), rounded, MADV_HUGEPAGE);
  }

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };

  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace fvlm
