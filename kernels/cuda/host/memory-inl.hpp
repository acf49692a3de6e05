// Memory, weights and tables of the CUDA backend.
#pragma once

#include <algorithm>
#include <cassert>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/host/cuda.hpp"
#include "kernels/cuda/host/decoder_batch.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {

template <Target target, class E>
CudaBackend<target, E>::CudaBackend(const FormatChoice& formats)
    : formats_(formats), properties_(device_properties<target>()) {}

template <Target target, class E>
std::string CudaBackend<target, E>::description() const {
  if constexpr (target == Target::kEmulated) return "cuda-emulated";
  return fmt::format("cuda ({})", properties_.name);
}

template <Target target, class E>
void CudaBackend<target, E>::reserve(std::size_t bytes) {
  retire_memory();
  memory_ = DeviceBuffer<target>(bytes);
  arena_ = Arena(memory_.template as<std::byte>(), bytes);
}

// Between host and device
// --------------------------------------------------------------------------

template <Target target, class E>
FeatureMap<const std::uint8_t> CudaBackend<target, E>::upload(std::span<const Pixels> pictures,
                                                              std::int64_t side) {
  const auto there = arena_.feature_map<std::uint8_t>(std::ssize(pictures), side, side, 3);
  if (arena_.measures()) return there;
  if (!uploading_->pictures.empty()) uploading_->done.synchronize();
  uploading_->pictures.assign(pictures.begin(), pictures.end());
  for (std::int64_t i = 0; i < there.batch; ++i) {
    stream_->copy_to_device(there.row(i, 0), pictures[static_cast<std::size_t>(i)].get(),
                            static_cast<std::size_t>(side * side * 3));
  }
  stream_->record(uploading_->done);
  return there;
}

template <Target target, class E>
View<float> CudaBackend<target, E>::download(View<float> rows) {
  const auto bytes = static_cast<std::size_t>(rows.rows * rows.stride) * sizeof(float);
  if (fetched_.bytes() < bytes) fetched_ = PinnedBuffer<target>(bytes);
  if (!arena_.measures()) {
    stream_->copy_to_host(fetched_.template as<float>(), rows.data, bytes);
    stream_->synchronize();
  }
  return {fetched_.template as<float>(), rows.rows, rows.cols, rows.stride};
}

template <Target target, class E>
View<float> CudaBackend<target, E>::download(View<BFloat16> rows) {
  const auto count = static_cast<std::size_t>(rows.rows * rows.stride);
  if (fetched_.bytes() < 2 * count) fetched_ = PinnedBuffer<target>(2 * count);
  if (widened_.bytes() < 4 * count) widened_ = Buffer(4 * count);
  auto* const to = widened_.template as<float>();
  if (!arena_.measures()) {
    stream_->copy_to_host(fetched_.template as<BFloat16>(), rows.data, 2 * count);
    stream_->synchronize();
    std::transform(fetched_.template as<BFloat16>(), fetched_.template as<BFloat16>() + count, to,
                   [](BFloat16 x) { return static_cast<float>(x); });
  }
  return {to, rows.rows, rows.cols, rows.stride};
}

template <Target target, class E>
void CudaBackend<target, E>::copy(View<const E> from, View<E> to) {
  assert(from.stride == from.cols && to.stride == to.cols);
  if (arena_.measures()) return;
  stream_->copy_on_device(to.data, from.data,
                          static_cast<std::size_t>(from.rows * from.cols) * sizeof(E));
}

// Weights
// ------------------------------------------------------------------------------------------

template <Target target, class E>
DeviceBuffer<target> CudaBackend<target, E>::to_device(const std::vector<float>& values) {
  const std::size_t bytes = values.size() * sizeof(float);
  DeviceBuffer<target> there(bytes);
  words_->send(*stream_, there.template as<float>(), values.data(), bytes);
  weight_bytes_ += static_cast<std::int64_t>(bytes);
  return there;
}

// Calls row(r, to, scratch) for each row, in two pinned buffers by turns: one is copied while the
// other is filled.
template <Target target, class E>
template <class Row>
DeviceBuffer<target> CudaBackend<target, E>::pack_rows(std::int64_t rows, std::int64_t row_bytes,
                                                       const Row& row) {
  constexpr std::int64_t kBlockBytes = std::int64_t{8} << 20;
  DeviceBuffer<target> there(static_cast<std::size_t>(rows * row_bytes));
  const std::int64_t block = std::max<std::int64_t>(1, kBlockBytes / row_bytes);
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t count = std::min(block, rows - first);
    Staging<target>& staging = (*packing_)[static_cast<std::size_t>(first / block % 2)];
    const auto bytes = static_cast<std::size_t>(count * row_bytes);
    std::byte* const room = staging.room(bytes);
#pragma omp parallel for
    for (std::int64_t r = 0; r < count; ++r) row(first + r, room + r * row_bytes);
    staging.send(*stream_, there.template as<std::byte>() + first * row_bytes, bytes);
  }
  weight_bytes_ += rows * row_bytes;
  return there;
}

template <Target target, class E>
auto CudaBackend<target, E>::pack(const LinearSpec& spec, const HostLinear& host) -> Linear {
  // Products of positions are multiplied in the activations' own type.
  WeightFormat format = formats_.of(spec);
  if (spec.rows == Rows::kPositions) {
    format = std::is_same_v<E, float> ? WeightFormat::kF32 : WeightFormat::kBF16;
  }
  const std::int64_t row_bytes = DeviceMatrix::bytes_of_row(format, host.in);
  const auto in = static_cast<std::size_t>(host.in);
  Linear linear{.matrix = {}, .rows = spec.rows, .weight = {}, .scales = {}, .bias = {}};
  if (format.is_quantised()) {
    const std::int64_t scales = format.scales(host.in);
    std::vector<BFloat16> all_scales(static_cast<std::size_t>(host.out * scales));
    linear.weight = pack_rows(host.out, row_bytes, [&](std::int64_t r, std::byte* to) {
      std::vector<float> scratch(in);
      host.quantised_row(r, format, to, all_scales.data() + r * scales, scratch);
    });
    const std::size_t bytes = all_scales.size() * sizeof(BFloat16);
    linear.scales = DeviceBuffer<target>(bytes);
    words_->send(*stream_, linear.scales.template as<BFloat16>(), all_scales.data(), bytes);
    weight_bytes_ += static_cast<std::int64_t>(bytes);
  } else {
    linear.weight = pack_rows(host.out, row_bytes, [&](std::int64_t r, std::byte* to) {
      std::vector<float> row(static_cast<std::size_t>(row_bytes * 8 / format.bits()));
      host.row(r, std::span(row).first(in));
      const auto write = [&]<class T>(T* weights) {
        std::transform(row.begin(), row.end(), weights, [](float w) { return T(w); });
      };
      if (format == WeightFormat::kF32) write(reinterpret_cast<float*>(to));
      if (format == WeightFormat::kBF16) write(reinterpret_cast<BFloat16*>(to));
      if (format == WeightFormat::kF16) write(reinterpret_cast<Float16*>(to));
    });
  }
  linear.bias = to_device(host.bias);
  linear.matrix = {.weight = linear.weight.template as<std::byte>(),
                   .scales = linear.scales.template as<BFloat16>(),
                   .bias = linear.bias.template as<float>(),
                   .out = static_cast<int>(host.out),
                   .in = static_cast<int>(host.in),
                   .row_bytes = static_cast<int>(row_bytes),
                   .format = format};
  return linear;
}

template <Target target, class E>
auto CudaBackend<target, E>::pack(const DepthwiseSpec& spec, const HostDepthwise& host)
    -> Depthwise {
  if (!DepthwiseKernels<target, E>::supports(spec.kernel, spec.stride, spec.multiplier)) {
    throw make_error(
        "the CUDA backend has no depthwise convolution {0} x {0} with stride {1} that "
        "multiplies the channels by {2}",
        spec.kernel, spec.stride, spec.multiplier);
  }
  Depthwise packed{.filters = {}, .weight = to_device(host.weight), .bias = to_device(host.bias)};
  packed.filters = {packed.weight.template as<float>(), packed.bias.template as<float>(),
                    spec.kernel, spec.stride, spec.multiplier};
  return packed;
}

template <Target target, class E>
auto CudaBackend<target, E>::pack(const StemSpec&, const HostStem& host) -> Stem {
  Stem packed{.filters = {}, .weight = to_device(host.weight), .bias = to_device(host.bias)};
  packed.filters = {packed.weight.template as<float>(), packed.bias.template as<float>()};
  return packed;
}

template <Target target, class E>
auto CudaBackend<target, E>::pack(const NormSpec& spec, const HostNorm& host) -> Norm {
  Norm packed{.norm = {}, .weight = to_device(host.weight), .bias = to_device(host.bias)};
  packed.norm = {packed.weight.template as<float>(), static_cast<float>(spec.eps)};
  packed.shift = packed.bias.template as<float>();
  return packed;
}

// Decoder's tables
// ---------------------------------------------------------------------------------

template <Target target, class E>
PassKey CudaBackend<target, E>::pass_key(View<E> rows, PassKey more) const {
  more.insert(more.end(), {address_of(rows.data), static_cast<std::uint64_t>(rows.rows),
                           static_cast<std::uint64_t>(rows.stride), arena_.used()});
  return more;
}

template <Target target, class E>
void CudaBackend<target, E>::change_sides() {
  std::swap(stream_, side_->stream);
  std::swap(memory_, side_->memory);
  std::swap(arena_, side_->arena);
}

template <Target target, class E>
void CudaBackend<target, E>::retire_memory() {
  stream_->synchronize();
  side_->stream->synchronize();
  graphs_->clear();
}

template <Target target, class E>
DeviceBatch CudaBackend<target, E>::on_device(const DecoderBatch& batch) {
  if (pass_batch_) return *pass_batch_;
  const BatchLayout layout(batch, kSingleRows);
  const std::size_t bytes = layout.words().size() * sizeof(std::int32_t);
  if (batch_memory_.bytes() < bytes) {
    retire_memory();
    batch_memory_ = DeviceBuffer<target>(bytes);
    batch_words_.clear();
  }
  if (layout.words() != batch_words_) {
    batch_words_ = layout.words();
    words_->send(*stream_, batch_memory_.template as<std::int32_t>(), batch_words_.data(), bytes);
  }
  return layout.at(batch_memory_.template as<std::int32_t>());
}

template <Target target, class E>
const DeviceAttention& CudaBackend<target, E>::prepare_attention(const AttentionShape& shape,
                                                                 std::int64_t positions) {
  const AttentionShape& is = attention_shape_;
  if (is.heads == shape.heads && is.kv_heads == shape.kv_heads && is.head_dim == shape.head_dim &&
      is.rope_theta == shape.rope_theta && attention_positions_ >= positions) {
    return attention_;
  }
  retire_memory();
  attention_shape_ = shape;
  attention_positions_ = positions;
  const auto table = rotation_table(positions, shape.head_dim, shape.rope_theta);
  const std::size_t bytes = table.size() * sizeof(float);
  rotations_ = DeviceBuffer<target>(bytes);
  words_->send(*stream_, rotations_.template as<float>(), table.data(), bytes);
  attention_ = {.heads = static_cast<int>(shape.heads),
                .kv_heads = static_cast<int>(shape.kv_heads),
                .head_dim = static_cast<int>(shape.head_dim),
                .rotations = rotations_.template as<float>()};
  const auto scratch = static_cast<std::size_t>(
      AttentionKernels<target, E>::scratch_bytes(attention_, kSingleRows, positions));
  attention_scratch_ = DeviceBuffer<target>(scratch);
  if (scratch > 0) stream_->fill(attention_scratch_.template as<std::byte>(), 0, scratch);
  return attention_;
}

template <Target target, class E>
auto CudaBackend<target, E>::make_cache(const CacheShape& shape) -> Cache {
  const std::int64_t positions = shape.pages * kPageTokens;
  // Known from the planning of a model; else it is done when attention is first asked for.
  if (attention_shape_.heads > 0) prepare_attention(attention_shape_, positions);
  retire_memory();
  batch_memory_ = DeviceBuffer<target>(static_cast<std::size_t>(4 * positions + 65536));
  batch_words_.clear();
  return {shape, DeviceBuffer<target>(static_cast<std::size_t>(shape.elements()) * sizeof(E))};
}

}  // namespace fvlm
