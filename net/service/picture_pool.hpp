// Threads that read what clients send: requests, and the pictures in them, which become what the
// model sees. Pictures that wait for the engine take memory, so somebody has to say no: what one
// costs is known from its header, before it is decoded. Large ones have a thread of their own,
// which gives way to all others, so that one client's photos do not hold up another's camera.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/service/memory_budget.hpp"
#include "net/service/workers.hpp"

namespace fvlm::net {

struct PicturePoolOptions {
  int threads = 2;
  std::size_t max_bytes = std::size_t{1} << 30;  // of pictures that are decoded or wait
  ImageOptions image{};
};

class PicturePool {
 public:
  // The pictures of the files in their order, or the Error, Busy among them, of one that has none.
  using Prepared = std::variant<std::vector<Picture>, std::exception_ptr>;

  PicturePool(Engine& engine, const PicturePoolOptions& options);

  // Runs short work on one of the threads.
  void put(std::function<void()> work) { workers_.put(std::move(work)); }
  // Calls `done` on one of the threads.
  void prepare(std::vector<std::string> files, std::function<void(Prepared)> done);
  // Finishes what is being done and drops the rest.
  void stop();

 private:
  struct Job;
  void open(const std::shared_ptr<Job>& job);
  void decode(Job& job);

  Engine& engine_;
  ImageOptions options_;
  MemoryBudget budget_;
  Workers workers_;
  Workers large_;
};

}  // namespace fvlm::net
