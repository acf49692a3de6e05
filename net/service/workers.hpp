// A thread pool with a first-in, first-out queue.
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fvlm::net {

// What share of the processor threads get when others want it: an equal one, a tenth, or next to
// none, so that they are preempted at once.
enum class Priority : std::uint8_t { kNormal, kLow, kIdle };

class Workers {
 public:
  explicit Workers(int threads, Priority priority = Priority::kNormal) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, priority] {
        take_priority(priority);
        work();
      });
    }
  }
  // Finishes running work and drops the queue.
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void put(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  // Of the calling thread. A system that refuses leaves it as it is.
  static void take_priority(Priority priority) {
    constexpr int kNiceness = 10;
    if (priority == Priority::kLow) {
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
    } else if (priority == Priority::kIdle) {
      const sched_param param{};
      ::sched_setscheduler(0, SCHED_IDLE, &param);  // 0: this thread
    }
  }

  void work() {
    while (true) {
      std::function<void()> next;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (stopping_) return;
        next = std::move(queue_.front());
        queue_.pop_front();
      }
      next();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace fvlm::net
