// The smallest class that satisfies fvlm::Backend (fvlm/ops/backend.hpp): a backend that computes
// nothing and counts how often the model calls each operation. (Those of the engine also report
// scratch memory, limits and a description: EngineBackend.)
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "fvlm/ops/host_memory.hpp"

namespace {

using fvlm::FeatureMap;
using fvlm::View;

class Counting : public fvlm::HostMemory {
 public:
  using Element = float;
  struct Linear {};
  struct Depthwise {};
  struct Stem {};
  struct Norm {};
  struct Cache {};

  const std::map<std::string, int>& counts() const { return counts_; }

  Linear pack(const fvlm::LinearSpec&, const fvlm::HostLinear&) { return {}; }
  Depthwise pack(const fvlm::DepthwiseSpec&, const fvlm::HostDepthwise&) { return {}; }
  Stem pack(const fvlm::StemSpec&, const fvlm::HostStem&) { return {}; }
  Norm pack(const fvlm::NormSpec&, const fvlm::HostNorm&) { return {}; }

  void stem(Context&, FeatureMap<const std::uint8_t>, const Stem&, const Depthwise&,
            FeatureMap<float>) {
    count("stem");
  }
  void depthwise(Context&, FeatureMap<const float>, const Depthwise&, fvlm::Activation,
                 FeatureMap<float>) {
    count("depthwise");
  }
  void linear(Context&, View<const float>, const Linear&, fvlm::Epilogue, View<float>) {
    count("linear");
  }
  void conv_ffn(Context&, FeatureMap<const float>, const Depthwise&, const Linear&, const Linear&,
                FeatureMap<float>) {
    count("conv_ffn");
  }
  void layer_norm(Context&, View<const float>, const Norm&, View<float>) { count("layer_norm"); }
  void image_attention(Context&, View<const float>, std::int64_t, std::int64_t, View<float>) {
    count("image_attention");
  }
  void squeeze_excite(Context&, FeatureMap<const float>, const Linear&, const Linear&,
                      FeatureMap<float>) {
    count("squeeze_excite");
  }

  void embed(Context&, std::span<const std::int32_t>, const Linear&, View<float>) {
    count("embed");
  }
  void attention_input(Context&, View<const float>, const Norm&, const Linear&,
                       const fvlm::AttentionShape&, const fvlm::DecoderBatch&, std::int64_t, Cache&,
                       View<float>) {
    count("attention_input");
  }
  void attention(Context&, View<const float>, const fvlm::AttentionShape&,
                 const fvlm::DecoderBatch&, std::int64_t, const Cache&, View<float>) {
    count("attention");
  }
  void swiglu(Context&, View<const float>, const Norm&, const Linear&, View<float>) {
    count("swiglu");
  }
  void logits(Context&, View<const float>, const Norm&, const Linear&, View<float>) {
    count("logits");
  }

  Cache make_cache(const fvlm::CacheShape&, const fvlm::AttentionShape&) const { return {}; }
  void copy_page(Context&, Cache&, std::int32_t, std::int32_t) const {}

 private:
  void count(const char* operation) { ++counts_[operation]; }

  std::map<std::string, int> counts_;
};

static_assert(fvlm::Backend<Counting>);

}  // namespace

int main() {
  fvlm::FastVlmConfig config;  // the encoder is FastViTHD as it was published
  config.text = {.hidden_size = 896,
                 .layers = 24,
                 .heads = 14,
                 .kv_heads = 2,
                 .intermediate_size = 4864,
                 .vocab_size = 151936,
                 .eos_tokens = {}};
  const fvlm::FastVlm<Counting> model(config);
  Counting backend;
  auto context = backend.make_context({.scratch_bytes = std::size_t{1} << 30});
  auto cache = model.decoder.make_cache(backend, 1);

  const std::int64_t side = config.vision.image_size;
  const std::int64_t tokens = config.vision.tokens();
  const auto rows = context.arena().matrix<float>(tokens, config.text.hidden_size);
  model.embed_images(backend, context, {nullptr, 1, side, side, 3}, rows);
  fvlm::DecoderBatch batch;
  batch.add(tokens, 0, {});
  model.decoder.forward(backend, context, batch, cache, rows);
  model.decoder.logits(backend, context, rows,
                       context.arena().matrix<float>(tokens, config.text.vocab_size));

  for (const auto& [operation, count] : backend.counts())
    std::cout << operation << ' ' << count << '\n';
  const std::map<std::string, int> expected = {
      {"attention", 24}, {"attention_input", 24}, {"conv_ffn", 44},
      {"depthwise", 45}, {"image_attention", 6},  {"layer_norm", 6},
      {"linear", 67},    {"logits", 1},           {"squeeze_excite", 1},
      {"stem", 1},       {"swiglu", 24}};
  return backend.counts() == expected ? 0 : 1;
}
