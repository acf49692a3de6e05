// Device memory, and pinned host memory for asynchronous copies. In the emulator both are the heap,
// exactly as large as asked for, so that AddressSanitizer sees out-of-bounds accesses of a kernel,
// and full of NaNs at first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/primitives/target.hpp"

namespace fvlm {

// Aligned to 256 bytes. allocate() throws an Error that names the bytes if there are too few.
template <Target target>
struct DeviceMemory {
  static void* allocate(std::size_t bytes);
  static void release(void* p) noexcept;
};

template <Target target>
struct PinnedMemory {
  static void* allocate(std::size_t bytes);
  static void release(void* p) noexcept;
};

// Owns memory of one of these kinds, not initialised.
template <class Memory>
class OwnedMemory {
 public:
  OwnedMemory() = default;
  explicit OwnedMemory(std::size_t bytes)
      : data_(bytes == 0 ? nullptr : Memory::allocate(bytes)), bytes_(bytes) {}

  template <class T>
  T* as() const {
    return static_cast<T*>(data_.get());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Release {
    void operator()(void* p) const { Memory::release(p); }
  };

  std::unique_ptr<void, Release> data_{};
  std::size_t bytes_ = 0;
};

template <Target target>
using DeviceBuffer = OwnedMemory<DeviceMemory<target>>;
template <Target target>
using PinnedBuffer = OwnedMemory<PinnedMemory<target>>;

struct DeviceProperties {
  std::string name;
  int major = 0;  // of the compute capability
  int minor = 0;
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;  // the most a block may have
  int driver = 0;                // as CUDA numbers it: 13000
  std::size_t cache_bytes = 0;   // L2
  std::size_t total_bytes = 0;
  std::size_t free_bytes = 0;
};

// 0 also if there is no driver.
template <Target target>
int device_count();
// "NVIDIA H100 80GB HBM3"; `device` is below the count.
template <Target target>
std::string device_name(int device);
// Makes a device the calling thread's current one: what the thread allocates and launches is there.
template <Target target>
void use_device(int device);
// Of the current device.
template <Target target>
DeviceProperties device_properties();

}  // namespace fvlm
