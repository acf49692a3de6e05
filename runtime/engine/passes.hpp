// What goes into the next pass through the model: of the requests that run, the pieces of prompts
// that are read together, and the answers that go on together. Plain book-keeping, without a model.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "runtime/engine/generation.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

using GenerationPtr = std::unique_ptr<Generation>;

// The next rows of one prompt: parts of its spans, in order.
struct PromptPiece {
  Generation* generation = nullptr;
  std::vector<PromptSpan> spans{};

  std::int64_t rows() const;
};

// Prompts that are prepared but not read to their end. Those that had fewer passes come first, so
// that a long one does not hold up the others; an image is taken whole.
std::vector<PromptPiece> plan_prefill(const std::list<GenerationPtr>& running,
                                      const PassLimits& limits);

// Answers that go on, in groups of one pass each; sets what each proposes of its draft.
std::vector<std::vector<Generation*>> plan_decode(const std::list<GenerationPtr>& running,
                                                  const PassLimits& limits);

}  // namespace fvlm
