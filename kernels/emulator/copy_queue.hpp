// The asynchronous copies of one thread that are in flight. A device may write the destination at
// any time between the copy's start and the wait for it; so here the old content is destroyed at
// the start, and the new one appears at the wait. A kernel that waits too late or not at all reads
// NaNs, and so does one that starts a copy while other threads still read its destination.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

namespace fvlm::emulator {

class CopyQueue {
 public:
  // Without a source, zeros are written. `bytes` is at most 16.
  void start(void* to, const void* from, std::size_t bytes) {
    std::memset(to, 0xFF, bytes);
    copies_.push_back({to, from, bytes, group_});
  }
  // The copies since the last call are a group.
  void commit() { ++group_; }
  // Completes all groups but the last `pending`.
  void wait(int pending) {
    std::size_t done = 0;
    while (done < copies_.size() && copies_[done].group + pending < group_) finish(copies_[done++]);
    copies_.erase(copies_.begin(), copies_.begin() + static_cast<std::ptrdiff_t>(done));
  }
  void clear() {
    copies_.clear();
    group_ = 0;
  }

 private:
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
    int group;
  };

  static void finish(const Copy& copy) {
    constexpr std::array<std::byte, 16> kZeros{};
    std::memcpy(copy.to, copy.from == nullptr ? kZeros.data() : copy.from, copy.bytes);
  }

  std::vector<Copy> copies_{};
  int group_ = 0;
};

}  // namespace fvlm::emulator
