// The CUDA backend, on a device or, for tests, in emulation: weights resident in device memory, our
// own kernels for all operations, work on one stream. E, the type of activations and of the KV
// cache, is BFloat16, or float where the model is asked for in f32.
//
// Memory: weights are packed row by row through pinned memory; scratch is the arena. Over an arena
// that measures, operations compute nothing and only ask for their scratch (and note what the host
// will bring and fetch), so that reserve() can give all memory that any pass will need.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fvlm/core/buffer.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/pixels.hpp"
#include "fvlm/ops/token_choice.hpp"
#include "kernels/cuda/attention/attention.hpp"
#include "kernels/cuda/convolution/convolution.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/host/graph_cache.hpp"
#include "kernels/cuda/host/pixel_pool.hpp"
#include "kernels/cuda/host/staging.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm {

template <Target target, class E>
class CudaBackend {
 public:
  using Element = E;
  static constexpr std::int64_t kExactRows = TokenKernels<target, E>::kMatVecRows;
  static constexpr std::size_t kScratchBudget = std::size_t{4} << 30;
  static constexpr bool kPlansItself = true;  // over an arena that measures, as said above

  struct Linear {
    DeviceMatrix matrix;
    Rows rows = Rows::kPositions;
    DeviceBuffer<target> weight, scales, bias;
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
  // [layers, pages, kv_heads, 2, kPageTokens, head_dim]: see CacheLayer.
  struct Cache {
    CacheShape shape;
    DeviceBuffer<target> memory;

    CacheLayer<E> layer(std::int64_t i) const {
      return {memory.template as<E>() + i * 2 * shape.pages * shape.page_elements(),
              static_cast<int>(shape.kv_heads), static_cast<int>(shape.head_dim)};
    }
  };

  // Throws an Error if there is no device.
  explicit CudaBackend(const FormatChoice& formats);

  Arena& arena() { return arena_; }
  // Gives the model its scratch memory.
  void reserve(std::size_t bytes);
  // "cuda (NVIDIA H100 80GB HBM3)"
  std::string description() const;
  // Bytes of all weights packed so far.
  std::int64_t weight_bytes() const { return weight_bytes_; }

  Pixels pixel_memory(std::size_t bytes) { return pixel_pool_.take(bytes); }
  FeatureMap<const std::uint8_t> upload(std::span<const Pixels> pictures, std::int64_t side);
  View<float> download(View<float> rows);
  View<float> download(View<BFloat16> rows);
  void copy(View<const E> from, View<E> to);
  void synchronize() { stream_->synchronize(); }
  template <class Work>
  void beside(const Work& work);
  bool beside_done() const { return side_->end.reached(); }
  void join() { stream_->wait(side_->end); }
  template <class Work>
  void run_pass(const DecoderBatch& batch, View<E> rows, const Work& work);
  template <class Work>
  void run_pass(FeatureMap<const std::uint8_t> pixels, View<E> rows, const Work& work);
  // How many passes were launched as graphs.
  std::int64_t graph_launches() const { return graphs_->launches(); }

  Linear pack(const LinearSpec& spec, const HostLinear& host);
  Depthwise pack(const DepthwiseSpec& spec, const HostDepthwise& host);
  Stem pack(const StemSpec& spec, const HostStem& host);
  Norm pack(const NormSpec& spec, const HostNorm& host);

  void stem(FeatureMap<const std::uint8_t> pixels, const Stem& conv, const Depthwise& depthwise,
            FeatureMap<E> out);
  void depthwise(FeatureMap<const E> in, const Depthwise& weights, Activation activation,
                 FeatureMap<E> out);
  void linear(View<const E> in, const Linear& weights, Epilogue epilogue, View<E> out);
  void conv_ffn(FeatureMap<const E> in, const Depthwise& conv, const Linear& fc1, const Linear& fc2,
                FeatureMap<E> out);
  void layer_norm(View<const E> in, const Norm& weights, View<E> out);
  // Throws an Error for a head dim that no kernel is made for.
  void image_attention(View<const E> qkv, std::int64_t images, std::int64_t head_dim, View<E> out);
  void squeeze_excite(FeatureMap<const E> in, const Linear& reduce, const Linear& expand,
                      FeatureMap<E> out);

  void embed(std::span<const std::int32_t> ids, const Linear& table, View<E> out);
  void attention_input(View<const E> x, const Norm& norm, const Linear& qkv,
                       const AttentionShape& shape, const DecoderBatch& batch, std::int64_t layer,
                       Cache& cache, View<E> query);
  void attention(View<const E> query, const AttentionShape& shape, const DecoderBatch& batch,
                 std::int64_t layer, const Cache& cache, View<E> out);
  void swiglu(View<const E> x, const Norm& norm, const Linear& gate_up, View<E> out);
  void logits(View<const E> x, const Norm& norm, const Linear& head, View<float> out);

  static bool can_choose(const TokenChoice& choice);
  std::span<const std::int32_t> choose(View<float> logits, std::span<const TokenChoice> choices);

  Cache make_cache(const CacheShape& shape);
  void copy_page(Cache& cache, std::int32_t from, std::int32_t to);

 private:
  // Rows that decode together with scratch memory of their own in attention.
  static constexpr std::int64_t kSingleRows = 64;

  DeviceBuffer<target> to_device(const std::vector<float>& values);
  template <class Row>
  DeviceBuffer<target> pack_rows(std::int64_t rows, std::int64_t row_bytes, const Row& row);
  // A matrix whose format is that of the activations.
  Layer<E> layer(const Linear& linear) const;
  // out = activation(in W^T + b) + residual, for matrices of Rows::kPositions.
  void multiply(View<const E> in, const Linear& weights, Activation activation,
                View<const E> residual, View<E> out);
  View<E> norm_scratch(View<const E> x);
  // The batch on the device; uploaded if it is another than before.
  DeviceBatch on_device(const DecoderBatch& batch);
  static std::uint64_t address_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }
  PassKey pass_key(View<E> rows, PassKey more) const;
  // Memory that kernels use is about to be replaced: they must be done, and graphs are void.
  void retire_memory();
  // Rotations and scratch memory for a model's attention over up to `positions`.
  const DeviceAttention& prepare_attention(const AttentionShape& shape, std::int64_t positions);

  // What beside() runs on.
  struct Side {
    std::unique_ptr<Stream<target>> stream = std::make_unique<Stream<target>>();
    DeviceBuffer<target> memory{};
    Arena arena{};
    Event<target> begin{};
    Event<target> end{};
  };
  // Pictures that may still be copied from.
  struct Uploading {
    std::vector<Pixels> pictures{};
    Event<target> done{};
  };
  // Makes the other stream and its memory those of all that follows.
  void change_sides();

  FormatChoice formats_;
  DeviceProperties properties_;
  std::unique_ptr<Stream<target>> stream_ = std::make_unique<Stream<target>>();
  std::int64_t weight_bytes_ = 0;
  DeviceBuffer<target> memory_;
  Arena arena_;
  std::unique_ptr<Side> side_ = std::make_unique<Side>();

  std::unique_ptr<std::array<Staging<target>, 2>> packing_ =
      std::make_unique<std::array<Staging<target>, 2>>();  // by turns
  PixelPool<target> pixel_pool_{};
  std::unique_ptr<Uploading> uploading_ = std::make_unique<Uploading>();
  std::unique_ptr<Staging<target>> words_ = std::make_unique<Staging<target>>();
  std::unique_ptr<Staging<target>> choices_ = std::make_unique<Staging<target>>();
  PinnedBuffer<target> chosen_;  // tokens
  PinnedBuffer<target> fetched_;
  Buffer widened_;  // what was fetched, as float32

  std::unique_ptr<GraphCache<target>> graphs_ = std::make_unique<GraphCache<target>>();
  std::optional<DeviceBatch> pass_batch_;  // of the pass that runs or is recorded
  std::vector<std::int32_t> batch_words_;  // of the batch on the device
  DeviceBuffer<target> batch_memory_;
  AttentionShape attention_shape_{};
  std::int64_t attention_positions_ = 0;
  DeviceAttention attention_{};
  DeviceBuffer<target> rotations_;
  DeviceBuffer<target> attention_scratch_;
};

// It begins after all that was put on the first stream, which may read what this overwrites.
template <Target target, class E>
template <class Work>
void CudaBackend<target, E>::beside(const Work& work) {
  stream_->record(side_->begin);
  change_sides();
  try {
    stream_->wait(side_->begin);
    work();
    stream_->record(side_->end);
  } catch (...) {
    change_sides();
    throw;
  }
  change_sides();
}

template <Target target, class E>
template <class Work>
void CudaBackend<target, E>::run_pass(FeatureMap<const std::uint8_t> pixels, View<E> rows,
                                      const Work& work) {
  if (arena_.measures()) return work();
  graphs_->run(pass_key(rows, {address_of(pixels.data), static_cast<std::uint64_t>(pixels.batch)}),
               *stream_, work);
}

// What a graph must not bring is brought before: the batch. Its counts are those of grids.
template <Target target, class E>
template <class Work>
void CudaBackend<target, E>::run_pass(const DecoderBatch& batch, View<E> rows, const Work& work) {
  if (arena_.measures()) return work();
  const DeviceBatch there = on_device(batch);
  PassKey key = pass_key(rows, {});
  for (const int count : {there.rows, there.single_count, there.range_count, there.most_tokens}) {
    key.push_back(static_cast<std::uint64_t>(count));
  }
  graphs_->run(key, *stream_, [&] {
    pass_batch_ = there;
    try {
      work();
    } catch (...) {
      pass_batch_.reset();
      throw;
    }
    pass_batch_.reset();
  });
}

// Each in the library of its target.
extern template class CudaBackend<Target::kDevice, float>;
extern template class CudaBackend<Target::kDevice, BFloat16>;
extern template class CudaBackend<Target::kEmulated, float>;
extern template class CudaBackend<Target::kEmulated, BFloat16>;

static_assert(PlansItself<CudaBackend<Target::kDevice, float>>);
static_assert(PlansItself<CudaBackend<Target::kDevice, BFloat16>>);
static_assert(ChoosesTokens<CudaBackend<Target::kDevice, BFloat16>>);

}  // namespace fvlm
