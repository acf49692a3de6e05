// Which requests wait and which run: the side of the engine that other threads see. A request runs
// when the KV cache has room for all that it may come to hold, in the order of arrival; of a live
// view one request runs at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "runtime/engine/generation.hpp"
#include "runtime/engine/live_views.hpp"

namespace fvlm {

class Scheduler {
 public:
  struct Limits {
    std::int64_t waiting = 1024;  // requests; more are refused
    std::int64_t pages = 0;       // of the KV cache, for the requests that run
    std::int64_t images = 1;      // as many as one pass of the encoder takes
  };

  explicit Scheduler(const Limits& limits) : limits_(limits) {}

  // From any thread -------------------------------------------------------------------------------

  // Throws Busy if too many wait.
  void submit(GenerationPtr generation);
  void cancel(RequestId id);
  // Cancels everything; wait() returns false once it has ended.
  void close();
  EngineCounters counters() const;

  // From the engine's -----------------------------------------------------------------------------

  // Begins a step: waits until there is something to do and lets in what has room. When nothing
  // runs and several views are live, a request waits a few milliseconds for others, to be encoded
  // with them.
  bool wait(const LiveViews& views);
  std::list<GenerationPtr>& running() { return running_; }
  const std::list<GenerationPtr>& running() const { return running_; }
  // Ends those that were cancelled, whatever stage they are in.
  void end_cancelled();
  // Takes out one that is done.
  GenerationPtr take_done();
  // Adds to what counters() tells.
  template <class Change>
  void count(const Change& change) {
    const std::lock_guard lock(mutex_);
    change(counters_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void admit();

  Limits limits_;
  std::list<GenerationPtr> running_;  // of the engine's thread

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  EngineCounters counters_;
  std::optional<Clock::time_point> step_start_;  // since when the engine's thread is at work
  std::deque<GenerationPtr> waiting_;
  std::vector<std::pair<RequestId, std::stop_source>> stops_;  // of all that have not ended
  bool closing_ = false;
};

}  // namespace fvlm
