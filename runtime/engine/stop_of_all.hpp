// A stop token for work that several requests share: it stops when all of them have been stopped.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <list>
#include <span>
#include <stop_token>

namespace fvlm {

class StopOfAll {
 public:
  explicit StopOfAll(std::span<const std::stop_token> parts) : left_(parts.size()) {
    for (const std::stop_token& part : parts) {
      callbacks_.emplace_back(part, [this] {
        if (--left_ == 0) all_.request_stop();
      });
    }
  }
  std::stop_token token() const { return all_.get_token(); }

 private:
  std::atomic<std::size_t> left_;
  std::stop_source all_;
  std::list<std::stop_callback<std::function<void()>>> callbacks_;
};

}  // namespace fvlm
