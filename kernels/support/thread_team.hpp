// Threads for loops whose iterations do not wait for each other.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fvlm {

// A thread that calls for_each, and others that help it. They spin for microseconds after a loop,
// in which the next begins if both are of one pass of a model; then they sleep. A loop does not
// wait for those that another program holds up before they have begun: it ends once every iteration
// has.
class ThreadTeam {
 public:
  // Throws Error if the system gives no `threads` - 1 threads.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  // One for all available processors, made when it is first wanted.
  static ThreadTeam& all();

  int size() const { return static_cast<int>(helpers_.size()) + 1; }

  // The calling thread's number in the team whose loop it is in, in [0, size()): 0 outside of
  // loops.
  static int calling_thread();

  // Calls work(i) for each i in [0, count). Iterations begin in this order, each on whichever
  // thread is free. Loops of several threads take turns; one within an iteration is the calling
  // thread's alone. If iterations throw, no more begin, and the exception of the first of them is
  // rethrown.
  template <class Work>
  void for_each(std::int64_t count, const Work& work) {
    run({[](const void* of, std::int64_t i) { (*static_cast<const Work*>(of))(i); }, &work, count});
  }

  // Calls work(first, n) for blocks of [0, count), all but the last of n = `block`.
  template <class Work>
  void for_blocks(std::int64_t count, std::int64_t block, const Work& work) {
    for_each((count + block - 1) / block,
             [&](std::int64_t i) { work(i * block, std::min(block, count - i * block)); });
  }

  // The same for blocks of which each thread gets a few, where iterations are short.
  template <class Work>
  void for_blocks(std::int64_t count, const Work& work) {
    constexpr std::int64_t kEach = 4;
    for_blocks(count, std::max<std::int64_t>(1, count / (kEach * size())), work);
  }

 private:
  struct Loop {
    void (*call)(const void* work, std::int64_t i) = nullptr;
    const void* work = nullptr;
    std::int64_t count = 0;
  };

  void run(const Loop& loop);
  void iterate();
  void help(int number);
  void stop();

  static constexpr std::size_t kLine = 64;  // bytes: what threads write lies on lines of its own

  // Odd while a loop is open to helpers.
  alignas(kLine) std::atomic<std::uint32_t> epoch_{0};
  // Those that may be in the loop. One enters, and leaves at once if it is not open.
  alignas(kLine) std::atomic<std::uint32_t> helping_{0};
  alignas(kLine) std::atomic<std::int64_t> next_{0};
  alignas(kLine) Loop loop_;
  std::atomic<bool> stopping_{false};
  std::mutex turn_;
  std::mutex failing_;
  std::int64_t failed_ = 0;  // the first iteration that threw, and what
  std::exception_ptr failure_;
  std::vector<std::thread> helpers_;
};

}  // namespace fvlm
