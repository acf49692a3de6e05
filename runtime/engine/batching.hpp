// Continuous batching: of the requests that run, the chunks of prompts that one prefill pass takes,
// and the answers that one decode pass goes on with. Plain book-keeping, without a model.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "runtime/engine/generation.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

// The next rows of one prompt: parts of its spans, in order.
struct PrefillChunk {
  Generation* generation = nullptr;
  std::vector<PromptSpan> spans{};

  std::int64_t rows() const;
};

// Of prompts that are not read to their end. Those that had fewer passes come first, so that a long
// one does not hold up the others; an image is taken whole.
std::vector<PrefillChunk> plan_prefill(const std::list<GenerationPtr>& running,
                                       const PassLimits& limits);

// Answers that go on, in groups of one pass each; sets what each proposes of its draft.
std::vector<std::vector<Generation*>> plan_decode(const std::list<GenerationPtr>& running,
                                                  const PassLimits& limits);

}  // namespace fvlm
