// The passes of a model over several requests each: their images are encoded, their prompts run
// through the decoder (prefill) and their answers continued (decode), in a KV cache. Which requests
// go together is decided elsewhere (batching.hpp). For the engine's thread.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "fvlm/ops/sampling.hpp"
#include "runtime/engine/generation.hpp"
#include "runtime/engine/kv_cache.hpp"
#include "runtime/engine/prefill_batch.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

class ModelPasses {
 public:
  // `eos` are the tokens that end an answer, `tokens` how many there are: the model may have logits
  // beyond, for ids that no token has.
  ModelPasses(ModelRunner& runner, KvCache& cache, std::vector<std::int32_t> eos,
              std::int64_t tokens)
      : runner_(runner),
        cache_(cache),
        images_(runner.limits().kept_images),
        eos_(std::move(eos)),
        tokens_(tokens) {}

  // A batch of these chunks: prefill() must follow, or nothing, before the next one is made.
  PrefillBatch begin(std::vector<PrefillChunk> chunks) { return {std::move(chunks), images_}; }
  // The images that need not be encoded.
  const ImageCache& kept() const { return images_; }
  // Encodes the images of prompts, perhaps beside what is done until prefill(). Throws Stopped.
  void encode(const PrefillBatch& batch, const std::stop_token& stop);
  // Whether prefill() need not wait for the images.
  bool encoded() const { return runner_.encoded(); }

  // Runs these rows of prompts through the decoder; those that end with them get their first
  // token. Throws Stopped, and Error.
  void prefill(const PrefillBatch& batch, const std::stop_token& stop);

  // The next tokens of a group of answers: one for each, and more where a draft is right. Throws
  // Error.
  void decode(const std::vector<Generation*>& group);

  // Ids below this can be sampled.
  std::int64_t vocabulary() const { return tokens_; }
  // The sizes of the passes that were made.
  const EngineCounters& counters() const { return counters_; }

 private:
  NextTokens next(std::span<const SamplingParams> sampling) const { return {tokens_, sampling}; }
  std::vector<SamplingParams> sampling_of(const std::vector<Generation*>& group) const;
  void advance(const std::vector<Generation*>& group, const PassOutput& output);
  PassOutput run_and_keep(const PrefillBatch& batch, PrefillPass& pass, const NextTokens& next,
                          const std::stop_token& stop);

  ModelRunner& runner_;
  KvCache& cache_;
  ImageCache images_;
  std::vector<std::int32_t> eos_;
  std::int64_t tokens_;
  EngineCounters counters_;
};

}  // namespace fvlm
