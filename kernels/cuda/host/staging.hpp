// Pinned host memory through which data passes on its way to a device, so that copies run while the
// host goes on: it is filled anew only when the copy out of it has been done.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target>
class Staging {
 public:
  // Grows to `bytes`, so that later calls with as much allocate nothing.
  void reserve(std::size_t bytes) {
    if (memory_.bytes() >= bytes) return;
    wait();
    memory_ = PinnedBuffer<target>(bytes);
  }
  // Room for `bytes` that send() sends.
  std::byte* room(std::size_t bytes) {
    reserve(bytes);
    wait();
    return memory_.template as<std::byte>();
  }
  void send(Stream<target>& stream, void* to, std::size_t bytes) {
    stream.copy_to_device(to, memory_.template as<std::byte>(), bytes);
    stream.record(sent_);
    sending_ = true;
  }
  void send(Stream<target>& stream, void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    std::memcpy(room(bytes), from, bytes);
    send(stream, to, bytes);
  }

 private:
  void wait() {
    if (sending_) sent_.synchronize();
    sending_ = false;
  }

  PinnedBuffer<target> memory_{};
  Event<target> sent_{};
  bool sending_ = false;
};

}  // namespace fvlm
