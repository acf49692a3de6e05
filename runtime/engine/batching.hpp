// What the next forward passes compute: of the running requests, the chunks of prompts that form a
// prefill batch, and the sequences that form a decode batch. Plain book-keeping, without a model.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "runtime/engine/generation.hpp"
#include "runtime/engine/image_cache.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

// The next chunk of one prompt: parts of its spans, in order.
struct PrefillChunk {
  Generation* generation = nullptr;
  std::vector<PromptSpan> spans{};

  std::int64_t rows() const;
};

// Prompts that are prepared and not fully prefilled (chunked prefill). Those with fewer passes so
// far come first, so that a long prompt does not delay the others; an image is taken whole, and
// as many of those to be encoded, which are not kept, as images_of_pass() says.
std::vector<PrefillChunk> plan_prefill(const std::list<GenerationPtr>& running,
                                       const PassLimits& limits, const ImageCache& kept);

// Decoding sequences, in batches of one pass each; sets the draft tokens that each proposes.
std::vector<std::vector<Generation*>> plan_decode(const std::list<GenerationPtr>& running,
                                                  const PassLimits& limits);

}  // namespace fvlm
