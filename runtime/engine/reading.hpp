// Prompts that are read together, in two parts: their images are encoded, which a backend may do
// beside the steps of answers, and then their rows run through the decoder.
#pragma once

#include <cstdint>
#include <stop_token>
#include <utility>
#include <vector>

#include "runtime/engine/generation.hpp"
#include "runtime/engine/passes.hpp"

namespace fvlm {

class Reading {
 public:
  struct Part {
    PromptPiece piece;
    std::int64_t first_image;  // of the piece, among all that are encoded
  };

  explicit Reading(std::vector<PromptPiece> pieces) {
    for (PromptPiece& piece : pieces) {
      parts_.push_back({std::move(piece), std::ssize(images_)});
      for (const PromptSpan& span : parts_.back().piece.spans) {
        if (span.image < 0) continue;
        const auto& images = parts_.back().piece.generation->images;
        images_.push_back(images[static_cast<std::size_t>(span.image)].pixels);
      }
    }
  }

  const std::vector<Part>& parts() const { return parts_; }
  // To be encoded.
  const std::vector<Pixels>& images() const { return images_; }
  std::vector<std::stop_token> stops() const {
    std::vector<std::stop_token> stops;
    for (const Part& part : parts_) stops.push_back(part.piece.generation->stop.get_token());
    return stops;
  }
  // Requests that have ended are about to go.
  void forget_ended() {
    std::erase_if(parts_, [](const Part& part) { return part.piece.generation->outcome; });
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
