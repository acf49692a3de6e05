// Runs a model once, greedily, and keeps the activations: the stages of the encoder, the
// embeddings, and the logits of each step. Compared with another device, another precision or the
// reference, they show where a mismatch begins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "fvlm/engine.hpp"
#include "runtime/engine/trace_model.hpp"

namespace fvlm {

struct TraceOptions {
  std::filesystem::path model_path;
  std::filesystem::path model_base{};    // of an adapter
  std::vector<std::int32_t> prompt_ids;  // kImageToken where the image goes
  std::int64_t max_new_tokens = 1;
  Device device = Device::kAuto;
  int device_index = 0;
  Precision precision = Precision::kAuto;
  int threads = 0;
  std::function<void(double fraction)> on_loading{};  // of the weights
};

// "pixels" [3, S, S] in 0..1, "stem", "stage0" ..., "conv_exp" [channels, height, width],
// "features" [tokens, 2 C], "embeddings" [tokens, hidden], "logits" [steps, vocab] and "tokens"
// [new tokens]; generation ends before the first end token. Throws Error for wrong files, ids
// outside the vocabulary and prompts longer than one prefill pass.
std::vector<TracedTensor> trace_run(const TraceOptions& options, ImageReader& image);

}  // namespace fvlm
