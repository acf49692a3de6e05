// Chunks of prompts that go through one prefill pass, in two parts: their images are encoded, which
// a backend may do beside decode passes, and then their rows run through the decoder.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "runtime/engine/batching.hpp"
#include "runtime/engine/generation.hpp"

namespace fvlm {

// Stops when all of some others have been stopped: for work that several requests share.
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

class PrefillBatch {
 public:
  struct Part {
    PrefillChunk chunk;
    std::int64_t first_image;  // of the chunk, among all that are encoded
  };

  explicit PrefillBatch(std::vector<PrefillChunk> chunks) {
    for (PrefillChunk& chunk : chunks) {
      parts_.push_back({std::move(chunk), std::ssize(images_)});
      const PrefillChunk& taken = parts_.back().chunk;
      for (const PromptSpan& span : taken.spans) {
        if (span.image < 0) continue;
        const auto& images = taken.generation->prompt().images;
        images_.push_back(images[static_cast<std::size_t>(span.image)].pixels);
      }
    }
  }

  const std::vector<Part>& parts() const { return parts_; }
  // To be encoded.
  const std::vector<Pixels>& images() const { return images_; }
  std::vector<std::stop_token> stops() const {
    std::vector<std::stop_token> stops;
    for (const Part& part : parts_) stops.push_back(part.chunk.generation->stop_token());
    return stops;
  }
  // Requests that are done are about to go.
  void forget_done() {
    std::erase_if(parts_, [](const Part& part) { return part.chunk.generation->done(); });
  }
  double seconds(Generation::Clock::time_point until) const {
    return std::chrono::duration<double>(until - start_).count();
  }

 private:
  std::vector<Part> parts_;
  std::vector<Pixels> images_;
  Generation::Clock::time_point start_ = Generation::Clock::now();
};

}  // namespace fvlm
