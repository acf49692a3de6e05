// Decodes pictures on threads of its own, within a budget: pictures that wait for the engine are
// large, a hundred times their files, and somebody has to say no.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/workers.hpp"
#include "runtime/engine.hpp"

namespace fvlm::net {

class Decoder {
 public:
  // Held by whoever holds the pictures: their bytes count against the budget until it is gone.
  using Lease = std::shared_ptr<void>;

  Decoder(int threads, std::size_t max_bytes)
      : held_(std::make_shared<std::atomic<std::size_t>>(0)),
        max_bytes_(max_bytes),
        workers_(threads) {}

  // Runs `work`, which calls decode(), on one of the threads.
  void put(std::function<void()> work) { workers_.put(std::move(work)); }
  void stop() { workers_.stop(); }

  // Adds the picture in `file` to `images`. Throws Error if it is none, Busy beyond the budget.
  Lease decode(const std::string& file, std::vector<Image>& images) {
    Image image = decode_image(std::as_bytes(std::span(file)), "the picture");
    const std::size_t bytes = image.rgb.size();
    Lease lease(nullptr, [held = held_, bytes](void*) { *held -= bytes; });
    if (held_->fetch_add(bytes) + bytes > max_bytes_) {
      throw Busy("too many pictures wait for their turn");
    }
    images.push_back(std::move(image));
    return lease;
  }

 private:
  std::shared_ptr<std::atomic<std::size_t>> held_;
  std::size_t max_bytes_;
  Workers workers_;
};

}  // namespace fvlm::net
