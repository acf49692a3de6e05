// The CUDA backend, on a device or, for tests, in emulation: weights resident in device memory and
// our own kernels for all operations, each on the stream of the context that it is given. E, the
// type of activations and of the KV cache, is BFloat16, or float where the model is asked for in
// f32. Weights are packed row by row through pinned memory.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/pixels.hpp"
#include "fvlm/ops/sampling.hpp"
#include "kernels/cuda/attention/attention.hpp"
#include "kernels/cuda/convolution/convolution.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/host/context.hpp"
#include "kernels/cuda/host/pixel_pool.hpp"
#include "kernels/cuda/host/staging.hpp"
#include "kernels/cuda/host/tile_table.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm {

template <Target target, class E>
class CudaBackend {
 public:
  using Context = CudaContext<target>;
  using Element = E;

  struct Linear {
    MatrixShape shape;
    DeviceMatrix matrix;
    DeviceBuffer<target> weight, scales, bias;
    DeviceBuffer<target> row_sums{};  // of the weight, if a layer norm is folded into it
  };
  struct Depthwise {
    DepthwiseFilters filters;
    DeviceBuffer<target> weight, bias;
  };
  struct Stem {
    StemFilters filters;
    DeviceBuffer<target> weight, bias;
  };
  struct Norm {
    DeviceNorm norm;
    const float* shift = nullptr;  // bias, of a layer norm
    DeviceBuffer<target> weight, bias;
  };
  struct Cache {
    CacheShape shape;
    DeviceAttention attention;
    DeviceBuffer<target> memory;  // [layers, pages, kv_heads, 2, kPageTokens, head_dim]: CacheLayer
    // Rotations and, behind them, scratch memory of attention, whose counters must hold zeros when
    // they are used first.
    DeviceBuffer<target> tables;
    std::byte* sums = nullptr;

    CacheLayer<E> layer(std::int64_t i) const {
      return {memory.template as<E>() + i * 2 * shape.pages * shape.page_elements(),
              static_cast<int>(shape.kv_heads), static_cast<int>(shape.head_dim)};
    }
  };

  // On device `device`, below the count of them.
  explicit CudaBackend(const FormatChoice& formats, int device = 0);

  Context make_context(const ContextSize& size) const { return Context(size, device_); }
  // What the choice of kernels depends on, and the device's part of a tuning identity.
  DeviceShape device_shape() const {
    return {properties_.major, properties_.multiprocessors, properties_.shared_bytes};
  }
  TuningIdentity tuning_identity() const;
  // From now on GEMMs take these tiles, others the rule's; before any pass, because passes are
  // recorded. Bits do not depend on it.
  void take_tiles(TileTable tiles) { tiles_ = std::move(tiles); }
  const FormatChoice& formats() const { return formats_; }
  // "cuda (NVIDIA H100 80GB HBM3)", "cuda:1 (...)"
  std::string description() const;
  // One image alone keeps the SMs of a small device busy in most layers, and those of a large one
  // in the first few. An eighth of the memory may be the encoder's scratch; a prefill pass takes
  // some hundredths of a second.
  PassBudget pass_budget() const;
  // Bytes of all weights packed so far.
  std::int64_t weight_bytes() const { return weight_bytes_; }

  Pixels pixel_memory(std::size_t bytes) { return pixel_pool_.take(bytes); }
  FeatureMap<const std::uint8_t> upload(Context& context, std::span<const Pixels> pictures,
                                        std::int64_t side);
  static View<float> download(Context& context, View<float> rows);
  static View<float> download(Context& context, View<BFloat16> rows);
  static void copy(Context& context, View<const E> from, View<E> to);
  template <class Work>
  void run_pass(Context& context, FeatureMap<const std::uint8_t> pixels, View<E> rows,
                const Work& work);
  template <class Work>
  void run_pass(Context& context, const DecoderBatch& batch, const Cache& cache, View<E> rows,
                const Work& work);

  Linear pack(const LinearSpec& spec, const HostLinear& host);
  Depthwise pack(const DepthwiseSpec& spec, const HostDepthwise& host);
  Stem pack(const StemSpec& spec, const HostStem& host);
  Norm pack(const NormSpec& spec, const HostNorm& host);

  // Folds a norm into the matrix that alone reads its output, where GEMMs can do the rest of it
  // (gemm/hopper/norm.hpp); the norm is that rest from then on. Elsewhere nothing changes.
  void fold(Norm& norm, Linear& linear);

  void stem(Context& context, FeatureMap<const std::uint8_t> pixels, const Stem& conv,
            const Depthwise& depthwise, FeatureMap<E> out);
  void depthwise(Context& context, FeatureMap<const E> in, const Depthwise& weights,
                 Activation activation, FeatureMap<E> out);
  void linear(Context& context, View<const E> in, const Linear& weights, Epilogue epilogue,
              View<E> out);
  void conv_ffn(Context& context, FeatureMap<const E> in, const Depthwise& conv, const Linear& fc1,
                const Linear& fc2, FeatureMap<E> out);
  struct ConvFfnScratch {
    FeatureMap<E> mixed;
    View<E> hidden;         // without data where one kernel does it all
    float* sums = nullptr;  // of GEMMs whose blocks share the depth
  };
  // conv_ffn after its convolution: out = residual + fc2(GELU(fc1(in))).
  void feed_forward(Context& context, View<const E> in, const Linear& fc1, const Linear& fc2,
                    View<const E> residual, const ConvFfnScratch& room, View<E> out);
  // Whether that is one kernel and has no hidden layer in memory.
  bool fuses_feed_forward(std::int64_t channels) const;
  void layer_norm(Context& context, View<const E> in, const Norm& weights, View<E> out);
  // linear(layer_norm(in)) in one kernel, if the norm is folded; whether it is.
  bool normed_linear(Context& context, View<const E> in, const Norm& norm, const Linear& weights,
                     View<E> out);
  // Throws an Error for a head dim that no kernel is made for.
  void image_attention(Context& context, View<const E> qkv, std::int64_t images,
                       std::int64_t head_dim, View<E> out);
  void squeeze_excite(Context& context, FeatureMap<const E> in, const Linear& reduce,
                      const Linear& expand, FeatureMap<E> out);

  void embed(Context& context, std::span<const std::int32_t> ids, const Linear& table, View<E> out);
  void attention_input(Context& context, View<const E> x, const Norm& norm, const Linear& qkv,
                       const AttentionShape& shape, const DecoderBatch& batch, std::int64_t layer,
                       Cache& cache, View<E> query);
  void attention(Context& context, View<const E> query, const AttentionShape& shape,
                 const DecoderBatch& batch, std::int64_t layer, const Cache& cache, View<E> out);
  void swiglu(Context& context, View<const E> x, const Norm& norm, const Linear& gate_up,
              View<E> out);
  void logits(Context& context, View<const E> x, const Norm& norm, const Linear& head,
              View<float> out);

  static bool can_sample(const SamplingParams& params);
  std::span<const std::int32_t> sample(Context& context, View<float> logits,
                                       std::span<const SamplingParams> params);

  // Scratch memory of operations that need some.
  FeatureMap<std::uint8_t> scratch(Arena& arena, const UploadShape& shape) const;
  ConvFfnScratch scratch(Arena& arena, const ConvFfnShape& shape) const;
  struct SqueezeExciteScratch {
    View<float> mean, squeezed;
  };
  SqueezeExciteScratch scratch(Arena& arena, const SqueezeExciteShape& shape) const;
  std::int32_t* scratch(Arena& arena, const EmbedShape& shape) const;
  using TokenScratch = typename TokenKernels<target, E>::Scratch;
  float* scratch(Arena& arena, const LinearShape& shape) const;
  TokenScratch scratch(Arena& arena, const AttentionInputShape& shape) const;
  TokenScratch scratch(Arena& arena, const SwigluShape& shape) const;
  TokenScratch scratch(Arena& arena, const LogitsShape& shape) const;
  struct SampleScratch {
    std::byte* params;
    std::byte* sums;
    std::int32_t* tokens;
  };
  SampleScratch scratch(Arena& arena, const SampleShape& shape) const;
  static void scratch(Arena&, const StemShape&) {}
  static void scratch(Arena&, const ImageAttentionShape&) {}
  static void scratch(Arena&, const CachedAttentionShape&) {}

  Cache make_cache(const CacheShape& shape, const AttentionShape& attention);
  void copy_page(Context& context, Cache& cache, std::int32_t from, std::int32_t to);

 private:
  // Rows that decode together with scratch memory of their own in attention.
  static constexpr std::int64_t kSingleRows = 64;

  // Copies to the device; done when it returns, so that work on any context may read it.
  void send(void* to, const void* from, std::size_t bytes);
  DeviceBuffer<target> to_device(const std::vector<float>& values);
  template <class Row>
  DeviceBuffer<target> pack_rows(std::int64_t rows, std::int64_t row_bytes, const Row& row);
  // Of the norm of `rows` and of a matrix whose depth blocks share.
  TokenScratch token_scratch(Arena& arena, std::int64_t rows, const MatrixShape& weights) const;
  // A matrix whose format is that of the activations.
  Layer<E> layer(const Linear& linear) const;
  // out = activation(in W^T + b) + residual, for matrices of Rows::kPositions. `sums`: of
  // LinearKernels::split_floats().
  void multiply(Context& context, View<const E> in, const Linear& weights, Activation activation,
                View<const E> residual, View<E> out, float* sums, const FoldedNorm& norm = {});
  int tile_of(const GemmKey& key) const {
    const auto chosen = tiles_.find(key);
    return chosen == tiles_.end() ? kTileByRule : chosen->second;
  }
  // Of `rows` tokens in a pass of the context.
  TokenRoute token_route(const Context& context, GemmKey::Kind kind, std::int64_t rows,
                         const Linear& weights, Epilogue epilogue = {}) const;
  // Of the key of a pass.
  static std::uint64_t word(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }
  template <std::integral T>
  static std::uint64_t word(T n) {
    return static_cast<std::uint64_t>(n);
  }

  FormatChoice formats_;
  int device_;
  DeviceProperties properties_;
  TileTable tiles_{};
  std::int64_t weight_bytes_ = 0;
  PixelPool<target> pixel_pool_{device_};
  // Of weights on their way to the device.
  std::unique_ptr<Stream<target>> packing_ = std::make_unique<Stream<target>>();
  std::unique_ptr<std::array<Staging<target>, 2>> staging_ =
      std::make_unique<std::array<Staging<target>, 2>>();  // by turns
};

template <Target target, class E>
template <class Work>
void CudaBackend<target, E>::run_pass(Context& context, FeatureMap<const std::uint8_t> pixels,
                                      View<E> rows, const Work& work) {
  context.run_pass({word(context.arena().used()), word(rows.data), word(rows.rows),
                    word(rows.stride), word(pixels.data), word(pixels.batch)},
                   work);
}

// What a graph must not bring is brought before: the batch. Its counts are those of grids.
template <Target target, class E>
template <class Work>
void CudaBackend<target, E>::run_pass(Context& context, const DecoderBatch& batch,
                                      const Cache& cache, View<E> rows, const Work& work) {
  const DeviceBatch there = context.on_device(batch, kSingleRows);
  context.run_pass(
      {word(context.arena().used()), word(rows.data), word(rows.rows), word(rows.stride),
       word(cache.memory.template as<std::byte>()), word(cache.tables.template as<std::byte>()),
       word(cache.shape.pages), word(there.rows), word(there.single_count), word(there.range_count),
       word(there.most_tokens), word(batch.is_prefill)},
      there, work);
}

// Each in the library of its target.
extern template class CudaBackend<Target::kDevice, float>;
extern template class CudaBackend<Target::kDevice, BFloat16>;
extern template class CudaBackend<Target::kEmulated, float>;
extern template class CudaBackend<Target::kEmulated, BFloat16>;

static_assert(EngineBackend<CudaBackend<Target::kDevice, float>>);
static_assert(EngineBackend<CudaBackend<Target::kDevice, BFloat16>>);
static_assert(SamplesTokens<CudaBackend<Target::kDevice, BFloat16>>);

}  // namespace fvlm
