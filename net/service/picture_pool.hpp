// Threads that preprocess images of clients. Images that are queued for the engine take memory, so
// there is a budget, of which an address has a share: the cost of an image is known from its
// header, before it is decoded. Large
// images have threads of their own, so that one client's photos do not delay another's camera: they
// are decoded while the processor is idle, and, where that takes too long, again with a low
// priority.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/http/memory_budget.hpp"
#include "net/http/quota.hpp"
#include "net/service/workers.hpp"

namespace fvlm::net {

struct PicturePoolOptions {
  int threads = 2;
  std::size_t max_bytes = std::size_t{1} << 30;  // budget for decoded images
  std::size_t max_bytes_per_address = 0;         // of max_bytes; 0: a quarter
  ImageOptions image{};
  std::chrono::milliseconds idle_patience{2000};  // that a large image waits for an idle processor
};

class PicturePool {
 public:
  // The images of the files in their order, or the Error (also Busy) of the first that fails.
  using Prepared = std::variant<std::vector<PreparedImage>, std::exception_ptr>;

  PicturePool(Engine& engine, const PicturePoolOptions& options);

  // Runs short work on one of the threads.
  void put(std::function<void()> work) { workers_.put(std::move(work)); }
  // For `client`, an HttpRequest::client. Calls `done` on one of the threads, unless `wanted` has
  // expired before the work's turn comes.
  void prepare(std::string client, std::vector<std::string> files, std::weak_ptr<const void> wanted,
               std::function<void(Prepared)> done);
  // Finishes running work and drops the queue.
  void stop();

 private:
  struct Job;
  using Step = void (PicturePool::*)(const std::shared_ptr<Job>& job);
  void put(Workers& workers, const std::shared_ptr<Job>& job, Step step);
  void begin(const std::shared_ptr<Job>& job);
  void open(Job& job) const;
  void decode_idly(const std::shared_ptr<Job>& job);
  void decode(const std::shared_ptr<Job>& job);
  void decode_until(Job& job, std::chrono::steady_clock::time_point deadline);

  Engine& engine_;
  PicturePoolOptions options_;
  MemoryBudget budget_;
  Quota clients_;
  Workers workers_;
  Workers low_;
  Workers idle_;
};

}  // namespace fvlm::net
