// Runs thread blocks on the calling OS thread. Each thread of the block runs on a fiber until it
// must wait for others; then the next one that can go on does. A thread that never waits costs no
// switch: its fiber goes on with the next thread. Even blocks run their threads from the last to
// the first and odd ones from the first to the last, so that a missing barrier shows in one order
// or the other.
//
// A deadlock is an error that names the kernel, the block and where its threads are: threads that
// wait for each other, lanes of a warp that call different functions, threads at different
// barriers. A thread that has ended counts as arrived, as on a device.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/emulator/copy_queue.hpp"
#include "kernels/emulator/device.hpp"
#include "kernels/emulator/memory_trace.hpp"
#include "kernels/emulator/overlap_check.hpp"
#include "kernels/emulator/shared_memory.hpp"
#include "kernels/emulator/tensor_memory.hpp"

namespace fvlm::emulator {

class Fiber;

inline constexpr unsigned kWarp = 32;

struct Index3 {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

// What is launched.
struct Grid {
  std::string_view kernel;
  Index3 blocks;
  unsigned threads = 0;            // of a block, which has one dimension
  std::size_t shared_bytes = 0;    // dynamic
  std::size_t opted_in_bytes = 0;  // what cudaFuncSetAttribute has asked for; 0: it was not called
  // Every thread must call waited(): else it may read what the previous kernel has yet to write,
  // and the next kernel may begin before that has ended.
  bool must_wait = false;
};

// What every thread does: call(data).
struct Body {
  void (*call)(const void* data);
  const void* data;
};

// A function of this layer that a thread has called, and from which line.
struct Site {
  const char* function = "";
  std::source_location where{};
};

// The lanes of a warp that have met, and what each brought along; null for others.
struct Lanes {
  std::uint32_t present = 0;
  std::array<void*, kWarp> arguments{};
};

// Addresses of shared memory, from the first byte to the end.
struct SharedRange {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
};

struct Thread {
  Index3 index;
  Fiber* fiber = nullptr;
  CopyQueue copies;
  ProductQueue products;
  StoreQueue stores;
  SharedRange unfenced;  // holds all that it has stored since it fenced the asynchronous proxy
  bool waited = false;   // for the kernel before
  // What it waits for, if it does.
  Site site;
  std::uint32_t mask = 0;
  void (*complete)(const Lanes&) = nullptr;
  void* argument = nullptr;
  bool (*ready)(void* argument) = nullptr;  // of wait_until()
};

class Block {
 public:
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // Runs one block to its end. Throws what a thread has thrown first.
  static void run(const Grid& grid, Index3 block, Body body);
  // The one that runs on the calling OS thread.
  static Block& current() { return *current_; }

  // For the threads of the block that runs -------------------------------------------------------
  Thread& thread() { return *running_; }
  unsigned thread_rank() const { return static_cast<unsigned>(running_ - threads_.data()); }
  SharedMemory& shared() { return shared_; }
  const SharedMemory& shared() const { return shared_; }
  Barriers& barriers() { return barriers_; }
  const Grid& grid() const { return *grid_; }

  // The running thread waits for the previous kernel, which has ended here.
  void waited() { running_->waited = true; }
  // Waits for all threads that have not ended.
  void barrier(const Site& site);
  // Waits for the lanes of `mask` that have not ended; the last one calls complete() for all. They
  // may read and write each other's arguments there.
  void meet(std::uint32_t mask, const Site& site, void (*complete)(const Lanes&), void* argument);
  // Waits until ready(), which other threads bring about.
  template <class F>
  void wait_until(const Site& site, F ready) {
    wait_until(
        site, [](void* function) { return (*static_cast<F*>(function))(); }, &ready);
  }
  // Counts `bytes` that the running thread loads or stores, if somebody traces.
  void trace(const std::source_location& where, bool loads, const void* address, unsigned bytes) {
    if (traffic_ || overlap_) count_access(where, loads, address, bytes);
  }
  // Likewise a box of global memory that begins at (row, column in bytes), for an OverlapCheck.
  void note_box(const Matrix& matrix, std::int64_t row, std::int64_t column, bool loads);
  // The running thread has stored so many bytes, perhaps to shared memory.
  void note_store(const void* address, std::size_t bytes) {
    const auto* const p = static_cast<const std::byte*>(address);
    if (!shared_.is_within(p)) return;
    SharedRange& range = running_->unfenced;
    range = range.begin == nullptr
                ? SharedRange{p, p + bytes}
                : SharedRange{std::min(range.begin, p), std::max(range.end, p + bytes)};
  }
  // Whether a thread may have stored there that has not fenced.
  bool has_unfenced(const void* address, std::size_t bytes) const;
  // Throws an Error about the running thread.
  [[noreturn]] void fail(const Site& site, const std::string& problem) const;

 private:
  struct Warp {  // one bit a lane
    std::uint32_t live = 0;
    std::uint32_t at_barrier = 0;
    std::uint32_t meeting = 0;
    std::uint32_t polling = 0;
    std::uint32_t ready = 0;
  };
  struct Abandoned {};  // unwinds the threads of a block that has failed

  void count_access(const std::source_location& where, bool loads, const void* address,
                    unsigned bytes);
  void run_threads(const Grid& grid, Index3 block, Body body);
  static void fiber_entry();
  void work();
  template <class F>
  void guarded(F&& function);
  void begin(unsigned rank);
  void settle(Warp& warp);
  bool try_complete(Warp& warp, std::uint32_t mask);
  void end_meeting(Warp& warp, std::uint32_t present);
  void release_barrier();
  void wait_until(const Site& site, bool (*ready)(void*), void* argument);
  bool poll();
  void suspend();
  void abandon();
  void make_ready(Warp& warp, std::uint32_t lanes);
  std::size_t next_of(std::uint32_t set) const;
  Warp& next_warp();
  Thread& take_ready(Warp& warp);
  Fiber& take_fiber();
  bool unstarted() const { return started_ < count_; }
  [[noreturn]] void fail_deadlock() const;
  Warp& warp_of(const Thread& thread);
  std::uint32_t bit_of(const Thread& thread) const;

  static inline constinit thread_local Block* current_ = nullptr;

  const Grid* grid_ = nullptr;
  Index3 block_{};
  Body body_{};
  bool backwards_ = false;
  bool abandoned_ = false;
  std::exception_ptr error_{};

  std::vector<Thread> threads_{};  // of the largest block so far
  std::array<Warp, kMaxThreads / kWarp> warps_{};
  std::uint32_t ready_warps_ = 0;
  unsigned count_ = 0;       // threads of this block
  unsigned started_ = 0;     // of them
  unsigned live_ = 0;        // that have not ended
  unsigned at_barrier_ = 0;  // that wait there
  Site barrier_{};           // of those
  Thread* running_ = nullptr;

  SharedMemory shared_{};
  Barriers barriers_{};
  std::optional<BlockTraffic> traffic_{};
  std::optional<BlockAccesses> overlap_{};
  std::unique_ptr<Fiber> home_;                   // of run()
  std::vector<std::unique_ptr<Fiber>> fibers_{};  // destroyed first: they end there
  std::vector<Fiber*> idle_{};
};

// Runs all blocks, on all cores if that pays. Throws the Error of a block that fails, and one if
// the device would refuse the launch.
void run_grid(const Grid& grid, Body body);

}  // namespace fvlm::emulator

// What CUDA calls them, for kernels.
namespace fvlm::emulated {

inline constinit thread_local emulator::Index3 threadIdx{};
inline constinit thread_local emulator::Index3 blockIdx{};
inline constinit thread_local emulator::Index3 blockDim{};
inline constinit thread_local emulator::Index3 gridDim{};

}  // namespace fvlm::emulated
