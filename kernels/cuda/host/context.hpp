// Where the CUDA backend's work runs: a stream, scratch memory on the device, pinned memory for
// what host and device exchange, and passes recorded as graphs. All has its size from the
// beginning, so that whatever a graph refers to stays where it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/buffer.hpp"
#include "fvlm/error.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/pixels.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/host/decoder_batch.hpp"
#include "kernels/cuda/host/graph_cache.hpp"
#include "kernels/cuda/host/staging.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/cuda/sampling/sampling.hpp"

namespace fvlm {

template <Target target>
class CudaContext {
 public:
  explicit CudaContext(const ContextSize& size, int device = 0);

  Arena& arena() { return arena_; }
  std::size_t scratch_bytes() const { return memory_.bytes(); }  // all that the arena has
  void wait_for(CudaContext& other) {
    other.stream().record(*waited_for_);
    stream().wait(*waited_for_);
  }
  bool done() const { return stream_->idle(); }
  void synchronize() { stream_->synchronize(); }

  // For the backend's operations -----------------------------------------------------------------
  // The caller's thread uses the context's device from here on.
  Stream<target>& stream() {
    use_device<target>(device_);
    return *stream_;
  }

  // Pictures are kept until they are copied: `to` [pictures, side, side, 3].
  void upload(std::span<const Pixels> pictures, FeatureMap<std::uint8_t> to);
  // A few words for the device, such as tokens.
  void send(void* to, const void* from, std::size_t bytes) {
    words_->send(stream(), to, from, bytes);
  }
  // What is at `from` on the device, once all before is done; until the next call.
  template <class T>
  std::span<T> fetch(const T* from, std::int64_t count);
  // The same, as float32.
  std::span<float> fetch_wide(const BFloat16* from, std::int64_t count);
  // Where to put how tokens are sampled, for Staging::send(): see sampling_bytes().
  Staging<target>& sampling() { return *sampling_; }

  // The batch on the device; uploaded if it is another than before. Attention has scratch memory
  // for `single_rows`.
  DeviceBatch on_device(const DecoderBatch& batch, std::int64_t single_rows);
  // Of GEMMs whose blocks share the depth: SplitSums::counters.
  unsigned* split_counters() const { return split_counters_.template as<unsigned>(); }
  // Runs work(), or a record of it from a pass with the same key.
  template <class Work>
  void run_pass(const PassKey& key, const Work& work) {
    graphs_->run(key, stream(), work);
  }
  // A pass over a batch that is on the device: on_device() gives it until the end of work().
  template <class Work>
  void run_pass(const PassKey& key, const DeviceBatch& batch, const Work& work);
  // Of the batch that on_device() had last; an encoder's is like a prompt's.
  TokenPass token_pass() const { return token_pass_; }
  // How many passes were launched as graphs.
  std::int64_t graph_launches() const { return graphs_->launches(); }

  // How the tokens of `rows` are sampled: for each its SamplingRow, its share of the adjustments
  // that are sent at a time, and a mask.
  static constexpr std::int64_t kAdjustmentsOfRow = 256;
  static std::size_t sampling_bytes(std::int64_t rows, std::int64_t vocabulary) {
    return static_cast<std::size_t>(rows) *
           (sizeof(SamplingRow) + kAdjustmentsOfRow * sizeof(RowAdjustment) +
            static_cast<std::size_t>(token_mask_words(vocabulary)) * sizeof(std::uint32_t));
  }

 private:
  // Pictures that may still be copied from.
  struct Uploading {
    std::vector<Pixels> pictures{};
    Event<target> done{};
  };

  // Makes a buffer as large as it has to be: a trace looks at more than a pass gives out.
  template <class Owned>
  static void grow(Owned& buffer, std::size_t bytes) {
    if (buffer.bytes() < bytes) buffer = Owned(bytes);
  }

  int device_;
  std::unique_ptr<Stream<target>> stream_ = std::make_unique<Stream<target>>();
  std::unique_ptr<Event<target>> waited_for_ = std::make_unique<Event<target>>();
  DeviceBuffer<target> memory_;
  Arena arena_;

  std::unique_ptr<Uploading> uploading_ = std::make_unique<Uploading>();
  std::unique_ptr<Staging<target>> words_ = std::make_unique<Staging<target>>();
  std::unique_ptr<Staging<target>> sampling_ = std::make_unique<Staging<target>>();
  PinnedBuffer<target> fetched_;
  Buffer widened_{};

  DeviceBuffer<target> split_counters_{static_cast<std::size_t>(SplitSums::kCounters) *
                                       sizeof(unsigned)};
  BatchLayout batch_{};                // as it is in batch_memory_
  DeviceBuffer<target> batch_memory_;  // on the device
  std::optional<DeviceBatch> pass_batch_{};
  TokenPass token_pass_ = TokenPass::kPrefill;
  std::unique_ptr<GraphCache<target>> graphs_ = std::make_unique<GraphCache<target>>();
};

template <Target target>
CudaContext<target>::CudaContext(const ContextSize& size, int device)
    : device_(device),
      memory_(size.scratch_bytes),
      arena_(memory_.template as<std::byte>(), size.scratch_bytes),
      fetched_(static_cast<std::size_t>(size.outputs * size.vocabulary) * sizeof(float)),
      batch_memory_(static_cast<std::size_t>(
                        BatchLayout::most_words(size.rows, size.outputs, size.cache_pages)) *
                    sizeof(std::int32_t)) {
  uploading_->pictures.reserve(static_cast<std::size_t>(size.images));
  words_->reserve(batch_memory_.bytes());  // the ids of the batch's rows are fewer
  sampling_->reserve(sampling_bytes(size.outputs, size.vocabulary));
  batch_.reserve(batch_memory_.bytes() / sizeof(std::int32_t));
  stream().fill(split_counters_.template as<std::byte>(), 0, split_counters_.bytes());
}

template <Target target>
void CudaContext<target>::upload(std::span<const Pixels> pictures, FeatureMap<std::uint8_t> to) {
  if (!uploading_->pictures.empty()) uploading_->done.synchronize();
  uploading_->pictures.assign(pictures.begin(), pictures.end());
  for (std::int64_t i = 0; i < to.batch; ++i) {
    stream().copy_to_device(to.row(i, 0), pictures[static_cast<std::size_t>(i)].get(),
                            static_cast<std::size_t>(to.elements() / to.batch));
  }
  stream().record(uploading_->done);
}

template <Target target>
template <class T>
std::span<T> CudaContext<target>::fetch(const T* from, std::int64_t count) {
  const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
  grow(fetched_, bytes);
  stream().copy_to_host(fetched_.template as<T>(), from, bytes);
  stream_->synchronize();
  return {fetched_.template as<T>(), static_cast<std::size_t>(count)};
}

template <Target target>
std::span<float> CudaContext<target>::fetch_wide(const BFloat16* from, std::int64_t count) {
  const std::span<const BFloat16> narrow = fetch(from, count);
  grow(widened_, narrow.size() * sizeof(float));
  std::transform(narrow.begin(), narrow.end(), widened_.as<float>(),
                 [](BFloat16 x) { return static_cast<float>(x); });
  return {widened_.as<float>(), narrow.size()};
}

template <Target target>
DeviceBatch CudaContext<target>::on_device(const DecoderBatch& batch, std::int64_t single_rows) {
  if (pass_batch_) return *pass_batch_;
  token_pass_ = batch.is_prefill ? TokenPass::kPrefill : TokenPass::kDecode;
  const bool is_new = batch_.lay_out(batch, single_rows);
  const std::size_t bytes = batch_.words().size() * sizeof(std::int32_t);
  if (bytes > batch_memory_.bytes()) {
    throw Error("a batch takes " + std::to_string(bytes) + " bytes, the context has room for " +
                std::to_string(batch_memory_.bytes()));
  }
  auto* const there = batch_memory_.template as<std::int32_t>();
  if (is_new) send(there, batch_.words().data(), bytes);
  return batch_.at(there);
}

template <Target target>
template <class Work>
void CudaContext<target>::run_pass(const PassKey& key, const DeviceBatch& batch, const Work& work) {
  run_pass(key, [&] {
    pass_batch_ = batch;
    try {
      work();
    } catch (...) {
      pass_batch_.reset();
      throw;
    }
    pass_batch_.reset();
  });
}

}  // namespace fvlm
