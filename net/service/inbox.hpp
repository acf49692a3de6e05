// Posts work of other threads to the transport's, as long as it lives: the engine's callbacks may
// outlive it.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

#include "net/http/transport.hpp"

namespace fvlm::net {

class Inbox {
 public:
  explicit Inbox(Transport& transport) : transport_(&transport) {}

  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (transport_ != nullptr) transport_->post(std::move(work));
  }
  void close() {
    const std::lock_guard lock(mutex_);
    transport_ = nullptr;
  }

 private:
  std::mutex mutex_;
  Transport* transport_;
};

}  // namespace fvlm::net
