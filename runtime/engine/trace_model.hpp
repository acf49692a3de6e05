// One greedy run of a model that keeps its activations: see trace_run.hpp. A file of its own, so
// that a program without the engine's files can trace, too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fvlm/ops/pixels.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

struct TracedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// Pages of the KV cache that a runner must have for a trace.
std::int64_t trace_pages(const FastVlmConfig& config, std::int64_t max_new_tokens);

// What trace_run returns. `pixels` [S, S, 3], kImageToken at most once among the ids. Throws Error
// for ids outside the vocabulary and prompts longer than one prefill pass.
std::vector<TracedTensor> trace_model(ModelRunner& runner, const Pixels& pixels,
                                      std::span<const std::int32_t> prompt_ids,
                                      std::int64_t max_new_tokens);

}  // namespace fvlm
