#include "tools/commands/shared/request_queue.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "fvlm/error.hpp"
#include "kernels/support/processors.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

constexpr std::size_t kMostThreads = 8;

Result ended(Outcome outcome, std::string error = {}) {
  return {.outcome = outcome, .text = {}, .error = std::move(error), .statistics = {}};
}

}  // namespace

RequestQueue::RequestQueue(Engine& engine, std::size_t count, Make make,
                           std::vector<std::string> stop)
    : engine_(engine), count_(count), make_(std::move(make)), stop_(std::move(stop)) {
  const auto processors = static_cast<std::size_t>(available_processors());
  const std::size_t threads = std::min({count, processors, kMostThreads});
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

RequestQueue::~RequestQueue() {
  cancel();
  for (std::thread& thread : threads_) thread.join();
}

void RequestQueue::work() {
  while (const std::optional<std::size_t> index = claim()) {
    std::optional<Request> request;
    std::string error;
    try {
      request = make_(*index);
    } catch (const std::bad_alloc&) {
      error = "out of memory";
    } catch (const std::exception& failure) {
      error = failure.what();
    }
    {
      const std::lock_guard lock(mutex_);
      Slot& slot = slot_of(*index);
      if (cancelled_) {
        slot.result = ended(Outcome::kCancelled);
      } else if (request.has_value()) {
        ask(slot, std::move(*request));
      } else {
        slot.result = ended(Outcome::kFailed, error);
      }
    }
    notify_event();
  }
}

std::optional<std::size_t> RequestQueue::claim() {
  std::unique_lock lock(mutex_);
  room_.wait(lock,
             [this] { return cancelled_ || begun_ == count_ || begun_ < taken_ + kInFlight; });
  if (cancelled_ || begun_ == count_) return std::nullopt;
  return begun_++;
}

// The callbacks take no lock of ours, so they may come before submit() returns.
void RequestQueue::ask(Slot& slot, Request request) {
  const auto mailbox = std::make_shared<Mailbox>(stop_);
  if (!stop_.empty()) {
    request.on_text = [mailbox](std::string_view text) { mailbox->add(text); };
  }
  request.on_done = [mailbox](const Result& result) { mailbox->finish(result); };
  try {
    slot.id = engine_.submit(std::move(request));
    slot.mailbox = mailbox;
  } catch (const std::exception&) {
    refusal_ = std::current_exception();
  }
}

std::optional<RequestQueue::Answer> RequestQueue::take() {
  const std::lock_guard lock(mutex_);
  if (refusal_) std::rethrow_exception(refusal_);
  for (Slot& slot : slots_) {
    if (slot.cut || !slot.mailbox || !slot.mailbox->stopped()) continue;
    engine_.cancel(slot.id);
    slot.cut = true;
  }
  if (taken_ == begun_) return std::nullopt;
  Slot& slot = slot_of(taken_);
  std::string text;  // the result has all of it
  std::optional<Result> result = slot.mailbox ? slot.mailbox->take(text) : std::move(slot.result);
  if (!result.has_value()) return std::nullopt;
  slot = {};
  Answer answer{taken_++, std::move(*result)};
  room_.notify_all();
  return answer;
}

bool RequestQueue::done() const {
  const std::lock_guard lock(mutex_);
  return taken_ == (cancelled_ ? begun_ : count_);
}

std::optional<RequestQueue::Answer> RequestQueue::wait() {
  while (true) {
    if (std::optional<Answer> answer = take()) return answer;
    if (done()) return std::nullopt;
    wait_for_event(false, std::chrono::milliseconds(-1));
  }
}

void RequestQueue::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (const Slot& slot : slots_) {
    if (slot.mailbox) engine_.cancel(slot.id);
  }
  room_.notify_all();
}

}  // namespace fvlm
