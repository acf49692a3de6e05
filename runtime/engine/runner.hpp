// A loaded model that runs forward passes: images through the encoder, rows of prefill and decode
// batches through the decoder, over a KV cache whose pages the caller assigns. It shows no tensors:
// ids, pixels and pages go in, tokens or logits come out. batching.hpp decides what goes into a
// pass; a BackendRunner over one of the backends runs it (backend_runner.hpp).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/core/view.hpp"
#include "fvlm/models/config.hpp"
#include "fvlm/ops/batch.hpp"
#include "fvlm/ops/pixels.hpp"
#include "fvlm/ops/sampling.hpp"
#include "fvlm/ops/shapes.hpp"

namespace fvlm {

struct PassLimits {
  std::int64_t images = 1;          // of an encoder pass
  std::int64_t kept_images = 0;     // whose embeddings later passes may use
  std::int64_t prefill_rows = 512;  // of a prefill pass; at least those of one image
  std::int64_t decode_rows = 64;    // of a decode pass; prompts of a prefill pass over those
  std::int64_t draft_rows = 64;     // of a decode pass, up to which draft tokens may fill it
};

// The most rows of a prefill pass for one image; a longer prompt is prefilled in chunks.
inline std::int64_t max_prefill_rows(const FastVlmConfig& config) {
  return std::max<std::int64_t>(512, config.vision.tokens());
}

// Rows of a short prompt beside those of its image.
inline constexpr std::int64_t kPromptRows = 32;

// As many images in a pass as the budget allows, a power of two, and their prompts in one prefill
// pass; at least one.
PassLimits pass_limits(const FastVlmConfig& config, const PassBudget& budget);

// Of `waiting` images those that go into the next encoder pass: up to 8 all, then 8, 16, 32, ... A
// backend may record passes and choose kernels by the number of images, so it should see few
// numbers.
std::int64_t images_of_pass(std::int64_t waiting);

// Consecutive rows of a prompt: tokens, or the positions of one image.
struct PromptRows {
  std::span<const std::int32_t> ids{};
  std::int64_t image = -1;  // of those that the last encode() was given, or -1: `ids`, or
  std::int64_t kept = -1;   // an image that an earlier pass kept there
};

// An image of those that the last encode() was given, to be kept for later passes.
struct KeptImage {
  std::int64_t image;
  std::int64_t place;  // below limits().kept_images; what was there is lost
};

struct PrefillPass {
  std::vector<PromptRows> input;        // the rows of all segments, in order
  DecoderBatch batch;                   // their places in the KV cache
  std::vector<std::int64_t> last_rows;  // of the batch, after which an answer begins
  std::vector<KeptImage> keep{};        // once the input is read
};

// How the tokens after some rows are sampled.
struct NextTokens {
  std::int64_t vocabulary = 0;                 // ids below this can be sampled
  std::span<const SamplingParams> sampling{};  // one for each row; empty: return the logits
};

// Lives until the next pass.
struct PassOutput {
  std::span<const std::int32_t> tokens{};  // [rows], if sampling was given
  View<float> logits{};                    // [rows, vocabulary] if not; the caller may change them
  // When the rows of prompts had been embedded and the decoder's layers began.
  std::chrono::steady_clock::time_point embedded{};
};

class ModelRunner {
 public:
  struct Facts {
    FastVlmConfig config;
    PassLimits limits;
    std::string device;  // e.g. "cpu (AVX3_DL, 2 threads)"
    std::int64_t weight_bytes = 0;
    std::int64_t scratch_bytes = 0;
    std::int64_t cache_pages = 0;
  };
  // Gets a feature map by its name, in float32 on the host.
  using Observer = std::function<void(std::string_view name, FeatureMap<const float> map)>;

  virtual ~ModelRunner() = default;
  const Facts& facts() const { return facts_; }
  const FastVlmConfig& config() const { return facts_.config; }
  const PassLimits& limits() const { return facts_.limits; }

  // Memory for pixels that encode() copies fastest from (pinned). Safe from any thread.
  virtual Pixels pixel_memory(std::size_t bytes) = 0;

  // Encodes images [side, side, 3], at most limits().images, for the prefill passes until the next
  // call; possibly concurrently with the following passes. Throws Stopped between blocks.
  virtual void encode(std::span<const Pixels> pictures, const std::stop_token& stop) = 0;
  // Whether a prefill pass need not wait for the images; waits until then.
  virtual bool encoded() const = 0;
  virtual void wait_until_encoded() = 0;
  // Encodes one picture and shows the stages on the way: those that FastViTHD::encode observes, and
  // "embeddings" [1, 1, tokens, hidden].
  virtual void encode_observed(const Pixels& picture, const Observer& observe) = 0;

  // A prefill pass. Output rows are pass.last_rows; without any, it returns without waiting for the
  // result. Throws Stopped between layers.
  virtual PassOutput prefill(const PrefillPass& pass, const NextTokens& next,
                             const std::stop_token& stop) = 0;
  // A decode pass: `ids` are those of all segments. Every row is an output row.
  virtual PassOutput decode(std::span<const std::int32_t> ids, const DecoderBatch& batch,
                            const NextTokens& next) = 0;
  // Whether the device can sample with these parameters; a pass samples all of its rows there or
  // none.
  virtual bool can_sample(const SamplingParams& params) const = 0;

  // Copies a page of the KV cache (copy-on-write, when a sequence forks).
  virtual void copy_page(std::int32_t from, std::int32_t to) = 0;

 protected:
  Facts facts_;
};

}  // namespace fvlm
