// The shared memory of a block. Every object has exactly the size asked for and a guarded gap
// behind it: ASan reports an access there at once; without ASan a write there is found when the
// block ends. Memory is filled with 0xFF, which is NaN in every floating-point type and -1 in
// integers, so that reads of uninitialised memory show.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace fvlm::emulator {

class SharedMemory {
 public:
  static constexpr std::size_t kAlignment = 1024;

  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Forgets the last block's objects. All of a block's take at most `limit` bytes, which is no more
  // than a large device has.
  void begin_block(std::size_t dynamic_bytes, std::size_t limit);
  std::byte* dynamic() const { return memory_.get(); }
  std::size_t dynamic_bytes() const { return objects_.front().bytes; }
  std::size_t limit() const { return limit_; }
  // The block's object of that key, the same for all its threads; null if there is no room.
  std::byte* fixed(const void* key, std::size_t bytes);

  bool contains(const void* address, std::size_t bytes) const;
  // Whether it is an address of shared memory, of an object or not.
  bool is_within(const std::byte* p) const {
    return p >= memory_.get() && p < memory_.get() + end_;
  }
  // The address as a device counts it.
  std::size_t offset(const void* address) const {
    return static_cast<std::size_t>(static_cast<const std::byte*>(address) - memory_.get());
  }
  // Whether something was written behind an object.
  bool damaged() const;

 private:
  struct Object {
    const void* key;
    std::size_t at;
    std::size_t bytes;
  };
  struct Free {
    void operator()(std::byte* p) const;
  };

  std::byte* add(const void* key, std::size_t bytes);

  std::unique_ptr<std::byte, Free> memory_;
  std::vector<Object> objects_{};
  std::size_t end_ = 0;   // of the last object's gap
  std::size_t used_ = 0;  // bytes of all objects
  std::size_t limit_ = 0;
};

}  // namespace fvlm::emulator
