// FastViTHD, FastVLM's image encoder: a stem, stages of blocks with downsampling between them, and
// an expanding convolution. The first stages mix tokens by a depthwise 3x3 (RepMixer), the last by
// attention. All convolutions are stored re-parameterised, i.e. without parallel branches.
// Sizes and names: Vasu et al., "FastVLM: Efficient Vision Encoding for Vision Language Models".
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/models/config.hpp"
#include "fvlm/models/module.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/normed_linear.hpp"

namespace fvlm {

// Gets intermediate feature maps by name during the forward pass; this one ignores them.
struct NoObserver {
  template <class T>
  void operator()(std::string_view, FeatureMap<T>) const {}
};

// x + s * fc2(GELU(fc1(norm(depthwise 7x7(x))))); the norm and s are folded into the weights.
template <EncoderBackend B>
struct ConvFfn {
  Depthwise<B> conv;
  Linear<B> fc1;
  Linear<B> fc2;

  ConvFfn(std::int64_t channels, std::int64_t ratio, const std::string& layer_scale)
      : conv({.in = channels, .kernel = 7, .convolution = "conv", .batch_norm = "bn"}),
        fc1({.in = channels, .parts = {{"", channels * ratio}}, .convolution = true}),
        fc2({.in = channels * ratio,
             .parts = {{"", channels}},
             .convolution = true,
             .layer_scale = "../../" + layer_scale}) {}

  template <class V>
  void visit(V& visitor) {
    visitor("conv", conv);
    visitor("fc1", fc1);
    visitor("fc2", fc2);
  }

  void run(B& backend, typename B::Context& context, FeatureMap<const typename B::Element> in,
           FeatureMap<typename B::Element> out) const {
    backend.conv_ffn(context, in, conv.weights, fc1.weights, fc2.weights, out);
  }
};

// Blocks and stages map x to x; `spare` is a second feature map of the same size as scratch.
template <EncoderBackend B>
struct RepMixerBlock {
  Depthwise<B> token_mixer;
  ConvFfn<B> convffn;

  RepMixerBlock(std::int64_t channels, std::int64_t ratio)
      : token_mixer({.in = channels, .kernel = 3, .convolution = "reparam_conv"}),
        convffn(channels, ratio, "layer_scale") {}

  template <class V>
  void visit(V& visitor) {
    visitor("token_mixer", token_mixer);
    visitor("convffn", convffn);
  }

  void run(B& backend, typename B::Context& context, FeatureMap<typename B::Element>& x,
           FeatureMap<typename B::Element>& spare) const {
    backend.depthwise(context, x, token_mixer.weights, Activation::kNone, spare);
    convffn.run(backend, context, spare, x);
  }
};

template <EncoderBackend B>
struct AttentionBlock {
  Norm<B> norm;
  Linear<B> qkv;
  Linear<B> proj;
  ConvFfn<B> convffn;
  std::int64_t head_dim;

  AttentionBlock(std::int64_t channels, std::int64_t ratio, std::int64_t dim)
      : norm({.channels = channels, .bias = true, .eps = 1e-5}),
        qkv({.in = channels, .parts = {{"", 3 * channels}}, .bias = false, .after_norm = true}),
        proj({.in = channels, .parts = {{"", channels}}, .layer_scale = "../../layer_scale_1"}),
        convffn(channels, ratio, "layer_scale_2"),
        head_dim(dim) {}

  template <class V>
  void visit(V& visitor) {
    visitor("norm", norm);
    visitor("token_mixer.qkv", qkv);
    visitor("token_mixer.proj", proj);
    visitor("convffn", convffn);
  }

  void run(B& backend, typename B::Context& context, FeatureMap<typename B::Element>& x,
           FeatureMap<typename B::Element>& spare) const {
    using E = typename B::Element;
    {
      const Arena::Scope scope(context.arena());
      const auto rows = x.matrix();
      const auto wide = context.arena().template matrix<E>(rows.rows, 3 * rows.cols);
      normed_linear(backend, context, rows, norm.weights, qkv.weights, spare.matrix(), wide);
      backend.image_attention(context, wide, x.batch, head_dim, spare.matrix());
      backend.linear(context, spare.matrix(), proj.weights, {.accumulate = true}, rows);
    }
    convffn.run(backend, context, x, spare);
    std::swap(x, spare);
  }
};

// A depthwise 7x7 with stride 2 that multiplies the channels, then a 1x1; GELU after each.
template <EncoderBackend B>
struct Downsample {
  Depthwise<B> conv;
  Linear<B> mix;

  Downsample(std::int64_t in, std::int64_t out)
      : conv({.in = in,
              .multiplier = out / in,
              .kernel = 7,
              .stride = 2,
              .convolution = "lkb_reparam"}),
        mix({.in = out, .parts = {{"", out}}, .convolution = true}) {}

  template <class V>
  void visit(V& visitor) {
    visitor("proj.0", conv);
    visitor("proj.1.reparam_conv", mix);
  }
};

template <EncoderBackend B>
struct Stage {
  std::optional<Depthwise<B>> position_encoding;  // before attention; its skip is folded in
  std::vector<RepMixerBlock<B>> mixers;
  std::vector<AttentionBlock<B>> attentions;
  std::optional<Downsample<B>> downsample;  // to the next stage
};

template <EncoderBackend B>
class FastViTHD {
 public:
  using E = typename B::Element;

  explicit FastViTHD(const FastViTHDConfig& config)
      : config_(config),
        stem_conv_({.out = config.embed_dims[0]}),
        stem_depthwise_(
            {.in = config.embed_dims[0], .kernel = 3, .stride = 2, .convolution = "reparam_conv"}),
        stem_mix_({.in = config.embed_dims[0],
                   .parts = {{"", config.embed_dims[0]}},
                   .convolution = true}),
        expand_({.in = config.embed_dims.back(),
                 .multiplier = config.cls_ratio,
                 .kernel = 3,
                 .convolution = "reparam_conv"}),
        se_reduce_(
            {.in = config.output_channels(), .parts = {{"", squeezed()}}, .convolution = true}),
        se_expand_(
            {.in = squeezed(), .parts = {{"", config.output_channels()}}, .convolution = true}) {
    const auto& dims = config.embed_dims;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      Stage<B>& stage = stages_.emplace_back();
      const bool attention = config.token_mixers[i] == TokenMixer::kAttention;
      if (attention) {
        stage.position_encoding.emplace(
            DepthwiseSpec{.in = dims[i], .kernel = 7, .convolution = "reparam_conv"});
      }
      for (std::int64_t j = 0; j < config.layers[i]; ++j) {
        if (attention) {
          stage.attentions.emplace_back(dims[i], config.mlp_ratio, config.head_dim);
        } else {
          stage.mixers.emplace_back(dims[i], config.mlp_ratio);
        }
      }
      if (i + 1 < dims.size()) stage.downsample.emplace(dims[i], dims[i + 1]);
    }
  }

  // `network` is one flat list in the checkpoint: position encodings, stages and downsamplings.
  template <class V>
  void visit(V& visitor) {
    visitor("patch_embed.0.reparam_conv", stem_conv_);
    visitor("patch_embed.1", stem_depthwise_);
    visitor("patch_embed.2.reparam_conv", stem_mix_);
    int n = 0;
    for (Stage<B>& stage : stages_) {
      const auto next = [&n] { return "network." + std::to_string(n++); };
      if (stage.position_encoding) visitor(next(), *stage.position_encoding);
      const std::string blocks = next();
      int j = 0;
      for (auto& block : stage.mixers) visitor(blocks + "." + std::to_string(j++), block);
      for (auto& block : stage.attentions) visitor(blocks + "." + std::to_string(j++), block);
      if (stage.downsample) visitor(next(), *stage.downsample);
    }
    visitor("conv_exp", expand_);
    visitor("conv_exp.se.reduce", se_reduce_);
    visitor("conv_exp.se.expand", se_expand_);
  }

  // pixels [batch, S, S, 3] in 0..255 -> out [batch * tokens, output_channels].
  // The observer sees "stem", "stage0" ... and "conv_exp". Throws Stopped between blocks.
  template <class Observer = NoObserver>
  void encode(B& backend, typename B::Context& context, FeatureMap<const std::uint8_t> pixels,
              View<E> out, const std::stop_token& stop = {}, const Observer& observe = {}) const {
    const Arena::Scope scope(context.arena());
    const std::int64_t batch = pixels.batch;
    const std::int64_t side = config_.image_size / 4;
    // Two feature maps of the largest size serve all stages.
    E* here = context.arena().template allocate<E>(batch * largest_map());
    E* there = context.arena().template allocate<E>(batch * largest_map());
    FeatureMap<E> x{here, batch, side, side, config_.embed_dims[0]};
    FeatureMap<E> spare{there, batch, side, side, config_.embed_dims[0]};

    backend.stem(context, pixels, stem_conv_.weights, stem_depthwise_.weights, spare);
    backend.linear(context, spare.matrix(), stem_mix_.weights, {.activation = Activation::kGelu},
                   x.matrix());
    observe("stem", x);
    stop_if_requested(stop);

    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const Stage<B>& stage = stages_[i];
      if (stage.position_encoding) {
        backend.depthwise(context, x, stage.position_encoding->weights, Activation::kNone, spare);
        std::swap(x, spare);
      }
      const auto run = [&](const auto& block) {
        stop_if_requested(stop);
        block.run(backend, context, x, spare);
      };
      std::for_each(stage.mixers.begin(), stage.mixers.end(), run);
      std::for_each(stage.attentions.begin(), stage.attentions.end(), run);
      observe("stage" + std::to_string(i), x);
      if (stage.downsample) {
        const std::int64_t channels = config_.embed_dims[i + 1];
        FeatureMap<E> half{spare.data, batch, x.height / 2, x.width / 2, channels};
        FeatureMap<E> mixed{x.data, batch, x.height / 2, x.width / 2, channels};
        backend.depthwise(context, x, stage.downsample->conv.weights, Activation::kGelu, half);
        backend.linear(context, half.matrix(), stage.downsample->mix.weights,
                       {.activation = Activation::kGelu}, mixed.matrix());
        x = mixed;
        spare = half;
      }
    }

    const FeatureMap<E> expanded{spare.data, batch, x.height, x.width, config_.output_channels()};
    backend.depthwise(context, x, expand_.weights, Activation::kNone, expanded);
    const FeatureMap<E> features{out.data, batch, x.height, x.width, config_.output_channels()};
    backend.squeeze_excite(context, expanded, se_reduce_.weights, se_expand_.weights, features);
    observe("conv_exp", features);
  }

  const FastViTHDConfig& config() const { return config_; }

 private:
  // Elements of the largest feature map of one image.
  std::int64_t largest_map() const {
    std::int64_t largest = config_.tokens() * config_.output_channels();
    for (std::size_t i = 0; i < config_.embed_dims.size(); ++i) {
      const std::int64_t side = config_.image_size >> (2 + i);
      largest = std::max(largest, side * side * config_.embed_dims[i]);
    }
    return largest;
  }

  std::int64_t squeezed() const {
    return static_cast<std::int64_t>(static_cast<double>(config_.output_channels()) *
                                     config_.se_ratio);
  }

  FastViTHDConfig config_;
  Stem<B> stem_conv_;
  Depthwise<B> stem_depthwise_;
  Linear<B> stem_mix_;
  std::vector<Stage<B>> stages_;
  Depthwise<B> expand_;
  Linear<B> se_reduce_;
  Linear<B> se_expand_;
};

}  // namespace fvlm
