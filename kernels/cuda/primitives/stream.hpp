// Streams, events and graphs as in CUDA: work on one stream runs in order while the host goes on;
// events order streams among each other; a graph is work captured once and then launched as a
// whole. Failures throw an Error that names the CUDA call; a kernel's failure surfaces at a later
// call.
//
// The emulator does the work at once, on the calling thread, and a graph is a list of closures.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "kernels/cuda/primitives/target.hpp"

struct CUstream_st;
struct CUevent_st;
struct CUgraphExec_st;

namespace fvlm {

namespace emulator {
struct Mark;
struct Queue;
struct Recording;
}  // namespace emulator

template <Target target>
class Event;
template <Target target>
class Graph;

template <Target target>
class Stream {
 public:
  using Handle = std::conditional_t<target == Target::kDevice, CUstream_st*, emulator::Queue*>;

  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Host memory should be pinned, and must live and stay unchanged until the copy is done.
  void copy_to_device(void* to, const void* from, std::size_t bytes);
  void copy_to_host(void* to, const void* from, std::size_t bytes);
  void copy_on_device(void* to, const void* from, std::size_t bytes);
  void fill(void* to, unsigned char byte, std::size_t bytes);

  // Records the event here.
  void record(Event<target>& event);
  // What follows on this stream begins after the event.
  void wait(const Event<target>& event);
  // Whether all that was put on the stream is done.
  bool idle() const;
  // The host waits for all work on the stream.
  void synchronize();

  Handle handle() const { return handle_; }

 private:
  friend class Graph<target>;
  void begin_capture();
  typename Graph<target>::Handle end_capture();
  void drop_capture() noexcept;

  Handle handle_;
};

template <Target target>
class Event {
 public:
  using Handle = std::conditional_t<target == Target::kDevice, CUevent_st*, emulator::Mark*>;

  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // The host waits for the event recorded last.
  void synchronize();
  // Milliseconds between two places that have been reached.
  float since(const Event& earlier) const;

 private:
  friend class Stream<target>;
  Handle handle_;
};

template <Target target>
class Graph {
 public:
  using Handle =
      std::conditional_t<target == Target::kDevice, CUgraphExec_st*, emulator::Recording*>;

  Graph() = default;
  ~Graph() { release(); }
  Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  // Captures what work() enqueues on the stream, and on others that wait for its events, instead of
  // running it. Arguments of kernels and copies are captured by value.
  template <class F>
  static Graph capture(Stream<target>& stream, F&& work) {
    stream.begin_capture();
    try {
      std::forward<F>(work)();
    } catch (...) {
      stream.drop_capture();
      throw;
    }
    return Graph(stream.end_capture());
  }

  void launch(Stream<target>& stream) const;
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  explicit Graph(Handle handle) : handle_(handle) {}
  void release() noexcept;

  Handle handle_ = nullptr;
};

// For launch() on a device, so that nvcc reads no more of host code.

// Throws an Error that names the kernel, the CUDA call and what its status means.
[[noreturn]] void fail_launch(std::string_view kernel, const char* call, int status);
// Whether the current device supports programmatic dependent launch.
bool device_overlaps_kernels();

}  // namespace fvlm
