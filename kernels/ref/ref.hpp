// The Ref backend: every operation as its definition says, in float32 with double sums, one plain
// loop after the other. It is the oracle for the fast backends; see ops/backend.hpp for contracts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/host_memory.hpp"

namespace fvlm {

class Ref : public HostMemory {
 public:
  using Element = float;
  static PassBudget pass_budget() { return {.images = 8, .encoder_bytes = std::size_t{32} << 20}; }

  struct Linear {
    MatrixShape shape;
    std::vector<float> weight;  // [out, in]
    std::vector<float> bias;    // [out], or empty
  };
  struct Depthwise {
    DepthwiseSpec spec;
    HostDepthwise host;
  };
  using Stem = HostStem;
  struct Norm {
    float eps = 0;
    HostNorm host;
  };
  struct Cache {
    CacheShape shape;
    std::vector<float> keys;    // [layers, pages, kv_heads, kPageTokens, head_dim]
    std::vector<float> values;  // likewise

    // Offset of the head vector of one token.
    std::size_t at(std::int64_t layer, std::int64_t page, std::int64_t head,
                   std::int64_t token) const {
      return static_cast<std::size_t>(
          (((layer * shape.pages + page) * shape.kv_heads + head) * kPageTokens + token) *
          shape.head_dim);
    }
  };

  // Matrices are rounded to the formats chosen and kept as float32.
  explicit Ref(const FormatChoice& formats) : formats_(formats) {}

  std::string description() const { return "ref"; }
  // Bytes of all matrices packed so far.
  std::int64_t weight_bytes() const { return weight_bytes_; }

  Linear pack(const LinearSpec& spec, const HostLinear& host);
  Depthwise pack(const DepthwiseSpec& spec, HostDepthwise host) const;
  Stem pack(const StemSpec& spec, HostStem host) const;
  Norm pack(const NormSpec& spec, HostNorm host) const;

  void stem(Context& context, FeatureMap<const std::uint8_t> pixels, const Stem& conv,
            const Depthwise& depthwise, FeatureMap<float> out) const;
  void depthwise(Context& context, FeatureMap<const float> in, const Depthwise& weights,
                 Activation activation, FeatureMap<float> out) const;
  void linear(Context& context, View<const float> in, const Linear& weights, Epilogue epilogue,
              View<float> out) const;
  void conv_ffn(Context& context, FeatureMap<const float> in, const Depthwise& conv,
                const Linear& fc1, const Linear& fc2, FeatureMap<float> out) const;
  void layer_norm(Context& context, View<const float> in, const Norm& weights,
                  View<float> out) const;
  void image_attention(Context& context, View<const float> qkv, std::int64_t images,
                       std::int64_t head_dim, View<float> out) const;
  void squeeze_excite(Context& context, FeatureMap<const float> in, const Linear& reduce,
                      const Linear& expand, FeatureMap<float> out) const;

  void embed(Context& context, std::span<const std::int32_t> ids, const Linear& table,
             View<float> out) const;
  void attention_input(Context& context, View<const float> x, const Norm& norm, const Linear& qkv,
                       const AttentionShape& shape, const DecoderBatch& batch, std::int64_t layer,
                       Cache& cache, View<float> query) const;
  void attention(Context& context, View<const float> query, const AttentionShape& shape,
                 const DecoderBatch& batch, std::int64_t layer, const Cache& cache,
                 View<float> out) const;
  void swiglu(Context& context, View<const float> x, const Norm& norm, const Linear& gate_up,
              View<float> out) const;
  void logits(Context& context, View<const float> x, const Norm& norm, const Linear& head,
              View<float> out) const;

  Cache make_cache(const CacheShape& shape, const AttentionShape& attention) const;
  void copy_page(Context& context, Cache& cache, std::int32_t from, std::int32_t to) const;

 private:
  struct ConvFfnScratch {
    FeatureMap<float> mixed;
    View<float> hidden;
  };
  struct SqueezeExciteScratch {
    View<float> mean, squeezed, gate;  // of an image
  };
  struct ProductScratch {
    View<float> normed, products;
  };

 public:
  // Scratch memory of operations.
  using HostMemory::scratch;
  static FeatureMap<float> scratch(Arena& arena, const StemShape& shape);
  static ConvFfnScratch scratch(Arena& arena, const ConvFfnShape& shape);
  static std::span<double> scratch(Arena& arena, const ImageAttentionShape& shape);
  static SqueezeExciteScratch scratch(Arena& arena, const SqueezeExciteShape& shape);
  static ProductScratch scratch(Arena& arena, const AttentionInputShape& shape);
  static std::span<double> scratch(Arena& arena, const CachedAttentionShape& shape);
  static ProductScratch scratch(Arena& arena, const SwigluShape& shape);
  static View<float> scratch(Arena& arena, const LogitsShape& shape);

 private:
  FormatChoice formats_;
  std::int64_t weight_bytes_ = 0;
};

static_assert(EngineBackend<Ref>);

}  // namespace fvlm
