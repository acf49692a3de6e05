// Chunks of prompts that go through one prefill pass, in two parts: their images are encoded, which
// a backend may do beside decode passes, and then their rows run through the decoder.
#pragma once

#include <algorithm>
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
#include "runtime/engine/image_cache.hpp"
#include "runtime/engine/runner.hpp"

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
    std::vector<PromptRows> images{};  // where the chunk's images come from, in order
    std::int64_t encoded = 0;          // of these, for this chunk
  };

  // Images that are kept, or that the batch has already, are not encoded.
  PrefillBatch(std::vector<PrefillChunk> chunks, ImageCache& cache) {
    for (PrefillChunk& chunk : chunks) {
      Part& part = parts_.emplace_back(Part{std::move(chunk)});
      const std::int64_t before = std::ssize(images_);
      for (const PromptSpan& span : part.chunk.spans) {
        if (span.image < 0) continue;
        const auto& images = part.chunk.generation->prompt().images;
        part.images.push_back(source_of(images[static_cast<std::size_t>(span.image)], cache));
      }
      part.encoded = std::ssize(images_) - before;
    }
  }

  const std::vector<Part>& parts() const { return parts_; }
  // To be encoded, and their hashes.
  const std::vector<Pixels>& images() const { return images_; }
  const std::vector<Hash128>& hashes() const { return hashes_; }
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
  PromptRows source_of(const PreparedImage& image, ImageCache& cache) {
    if (const std::int64_t kept = cache.find(image.hash); kept >= 0) return {.kept = kept};
    const auto same = std::ranges::find(hashes_, image.hash);
    if (same != hashes_.end()) return {.image = same - hashes_.begin()};
    images_.push_back(image.pixels);
    hashes_.push_back(image.hash);
    return {.image = std::ssize(images_) - 1};
  }

  std::vector<Part> parts_;
  std::vector<Pixels> images_;
  std::vector<Hash128> hashes_;
  Generation::Clock::time_point start_ = Generation::Clock::now();
};

}  // namespace fvlm
