#include "runtime/engine/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

namespace fvlm {
namespace {

constexpr std::chrono::milliseconds kGather{3};

}  // namespace

void Scheduler::submit(GenerationPtr generation) {
  {
    const std::lock_guard lock(mutex_);
    if (std::ssize(waiting_) >= limits_.waiting)
      throw Busy(fmt::format("{} requests wait already; try again later", waiting_.size()));
    stops_.emplace_back(generation->id(), generation->stop_source());
    waiting_.push_back(std::move(generation));
  }
  wake_.notify_all();
}

void Scheduler::cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [known, stop] : stops_) {
      if (known == id) stop.request_stop();
    }
  }
  wake_.notify_all();
}

void Scheduler::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (auto& [id, stop] : stops_) stop.request_stop();
  }
  wake_.notify_all();
}

EngineCounters Scheduler::counters() const {
  const std::lock_guard lock(mutex_);
  EngineCounters now = counters_;
  now.waiting = std::ssize(waiting_);
  now.running = std::ssize(stops_) - now.waiting;
  if (step_start_) now.step_s = std::chrono::duration<double>(Clock::now() - *step_start_).count();
  return now;
}

bool Scheduler::wait(const LiveViews& views) {
  std::unique_lock lock(mutex_);
  step_start_.reset();
  wake_.wait(lock, [&] { return closing_ || !waiting_.empty() || !running_.empty(); });
  if (running_.empty() && !waiting_.empty() && views.count() > 1) {
    wake_.wait_until(lock, waiting_.front()->submitted() + kGather,
                     [&] { return closing_ || std::ssize(waiting_) >= limits_.images; });
  }
  admit();
  if (running_.empty()) return false;
  step_start_ = Clock::now();
  return true;
}

void Scheduler::admit() {
  std::int64_t reserved = 0;
  std::set<std::uint64_t> views;
  for (const GenerationPtr& g : running_) {
    reserved += g->budget().pages;
    if (g->request().live) views.insert(g->request().live->id);
  }
  bool full = false;  // one that waits for room is not overtaken by smaller ones
  for (GenerationPtr& g : waiting_) {
    if (g->stop_token().stop_requested()) {  // comes in only to be answered
      running_.push_back(std::move(g));
      continue;
    }
    full = full || reserved + g->budget().pages > limits_.pages;
    if (full || (g->request().live && !views.insert(g->request().live->id).second)) continue;
    reserved += g->budget().pages;
    running_.push_back(std::move(g));
  }
  std::erase(waiting_, nullptr);
}

void Scheduler::end_cancelled() {
  for (const GenerationPtr& g : running_) {
    if (!g->done() && g->stop_token().stop_requested()) g->end(Outcome::kCancelled);
  }
}

GenerationPtr Scheduler::take_done() {
  const auto done = std::find_if(running_.begin(), running_.end(),
                                 [](const GenerationPtr& g) { return g->done(); });
  if (done == running_.end()) return nullptr;
  GenerationPtr generation = std::move(*done);
  running_.erase(done);
  const std::lock_guard lock(mutex_);
  std::erase_if(stops_, [&](const auto& entry) { return entry.first == generation->id(); });
  return generation;
}

}  // namespace fvlm
