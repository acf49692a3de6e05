// Many questions about pictures, some at a time: pictures are decoded on threads of the queue while
// the engine answers others, so that it always has a batch. Answers come in the order of the
// questions, whatever the order in which they end.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fvlm/engine.hpp"
#include "tools/commands/shared/mailbox.hpp"

namespace fvlm {

class RequestQueue {
 public:
  // Makes a request, e.g. reads its picture; on threads of the queue, several at a time. An Error
  // that it throws is the answer to this request.
  using Make = std::function<Request(std::size_t index)>;

  struct Answer {
    std::size_t index = 0;
    Result result;  // kFailed if there was no request, or the engine failed
  };

  // Asks requests 0, 1, ... count - 1. `stop`: strings before which each answer ends.
  RequestQueue(Engine& engine, std::size_t count, Make make, std::vector<std::string> stop = {});
  // Cancels what runs.
  ~RequestQueue();
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  // The next answer, if it is there; notify_event() tells of new ones. Throws Error if the engine
  // refuses a request, which it would all of them.
  std::optional<Answer> take();
  // Whether there is no other answer.
  bool done() const;
  // Waits for the next answer; absent if there is no other. For those who wait for nothing else.
  std::optional<Answer> wait();

  // Begins nothing more. What runs is cut short and comes as kCancelled.
  void cancel();

 private:
  // So many requests are decoded, asked or not taken yet: enough for the engine's batches, and few
  // enough for their pixels (3 MB each at 1024 x 1024).
  static constexpr std::size_t kInFlight = 32;

  struct Slot {
    std::shared_ptr<Mailbox> mailbox;  // once it is asked
    RequestId id = 0;
    bool cut = false;              // cancelled, because its answer is at its end
    std::optional<Result> result;  // of what was not asked
  };

  void work();
  std::optional<std::size_t> claim();
  void ask(Slot& slot, Request request);
  Slot& slot_of(std::size_t index) { return slots_[index % kInFlight]; }

  Engine& engine_;
  const std::size_t count_;
  const Make make_;
  const std::vector<std::string> stop_;

  mutable std::mutex mutex_;
  std::condition_variable room_;  // for another request, or the end
  std::array<Slot, kInFlight> slots_;
  std::size_t begun_ = 0;
  std::size_t taken_ = 0;
  bool cancelled_ = false;
  std::exception_ptr refusal_;
  std::vector<std::thread> threads_;
};

}  // namespace fvlm
