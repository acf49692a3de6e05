// Memory, weights and tables of the CUDA backend.
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/host/cuda.hpp"
#include "kernels/cuda/host/decoder_batch.hpp"
#include "kernels/support/make_error.hpp"
#include "kernels/support/rotation_table.hpp"
#include "kernels/support/thread_team.hpp"

namespace fvlm {

template <Target target, class E>
CudaBackend<target, E>::CudaBackend(const FormatChoice& formats, int device)
    : formats_(formats),
      device_((use_device<target>(device), device)),
      properties_(device_properties<target>()) {}

template <Target target, class E>
std::string CudaBackend<target, E>::description() const {
  if constexpr (target == Target::kEmulated) return "cuda-emulated";
  if (device_ == 0) return fmt::format("cuda ({})", properties_.name);
  return fmt::format("cuda:{} ({})", device_, properties_.name);
}

template <Target target, class E>
TuningIdentity CudaBackend<target, E>::tuning_identity() const {
  return {.device = properties_.name,
          .major = properties_.major,
          .minor = properties_.minor,
          .driver = properties_.driver,
          .program = {}};
}

template <Target target, class E>
PassBudget CudaBackend<target, E>::pass_budget() const {
  constexpr std::int64_t kImageMultiprocessors = 4;
  constexpr double kMultiprocessorFlops = 0.25e12;  // of a pass: 40 ms at 6 TFLOP/s
  constexpr std::size_t kMostBytes = std::size_t{8} << 30;
  const auto fill = static_cast<std::uint64_t>(properties_.multiprocessors / kImageMultiprocessors);
  return {
      .images = std::clamp<std::int64_t>(static_cast<std::int64_t>(std::bit_floor(fill)), 8, 32),
      .encoder_bytes = std::min(properties_.total_bytes / 8, kMostBytes),
      .prefill_flops = kMultiprocessorFlops * properties_.multiprocessors};
}

// Between host and device
// --------------------------------------------------------------------------

template <Target target, class E>
FeatureMap<const std::uint8_t> CudaBackend<target, E>::upload(Context& context,
                                                              std::span<const Pixels> pictures,
                                                              std::int64_t side) {
  const auto there = scratch(context.arena(), UploadShape{std::ssize(pictures), side});
  context.upload(pictures, there);
  return there;
}

template <Target target, class E>
View<float> CudaBackend<target, E>::download(Context& context, View<float> rows) {
  const auto here = context.fetch(rows.data, rows.rows * rows.stride);
  return {here.data(), rows.rows, rows.cols, rows.stride};
}

template <Target target, class E>
View<float> CudaBackend<target, E>::download(Context& context, View<BFloat16> rows) {
  const auto here = context.fetch_wide(rows.data, rows.rows * rows.stride);
  return {here.data(), rows.rows, rows.cols, rows.stride};
}

template <Target target, class E>
void CudaBackend<target, E>::copy(Context& context, View<const E> from, View<E> to) {
  assert(from.stride == from.cols && to.stride == to.cols);
  context.stream().copy_on_device(to.data, from.data,
                                  static_cast<std::size_t>(from.rows * from.cols) * sizeof(E));
}

// Weights
// ------------------------------------------------------------------------------------------

template <Target target, class E>
void CudaBackend<target, E>::send(void* to, const void* from, std::size_t bytes) {
  staging_->front().send(*packing_, to, from, bytes);
  packing_->synchronize();
}

template <Target target, class E>
DeviceBuffer<target> CudaBackend<target, E>::to_device(const std::vector<float>& values) {
  const std::size_t bytes = values.size() * sizeof(float);
  DeviceBuffer<target> there(bytes);
  send(there.template as<float>(), values.data(), bytes);
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
    Staging<target>& staging = (*staging_)[static_cast<std::size_t>(first / block % 2)];
    const auto bytes = static_cast<std::size_t>(count * row_bytes);
    std::byte* const room = staging.room(bytes);
    ThreadTeam::all().for_each(count,
                               [&](std::int64_t r) { row(first + r, room + r * row_bytes); });
    staging.send(*packing_, there.template as<std::byte>() + first * row_bytes, bytes);
  }
  packing_->synchronize();
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
  Linear linear{.shape = {host.out, host.in, spec.rows, format},
                .matrix = {},
                .weight = {},
                .scales = {},
                .bias = {},
                .row_sums = {}};
  if (format.is_quantised()) {
    const std::int64_t scales = format.scales(host.in);
    std::vector<BFloat16> all_scales(static_cast<std::size_t>(host.out * scales));
    linear.weight = pack_rows(host.out, row_bytes, [&](std::int64_t r, std::byte* to) {
      std::vector<float> scratch(in);
      host.quantised_row(r, format, to, all_scales.data() + r * scales, scratch);
    });
    const std::size_t bytes = all_scales.size() * sizeof(BFloat16);
    linear.scales = DeviceBuffer<target>(bytes);
    send(linear.scales.template as<BFloat16>(), all_scales.data(), bytes);
    weight_bytes_ += static_cast<std::int64_t>(bytes);
  } else {
    linear.weight = pack_rows(host.out, row_bytes, [&](std::int64_t r, std::byte* to) {
      std::vector<float> row(static_cast<std::size_t>(row_bytes * 8 / format.bits()));
      host.row(r, std::span(row).first(in));
      convert_row(row, format.type, to);
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

template <Target target, class E>
void CudaBackend<target, E>::fold([[maybe_unused]] Norm& norm, [[maybe_unused]] Linear& linear) {
  if constexpr (std::is_same_v<E, BFloat16>) {
    DeviceMatrix& m = linear.matrix;
    if (properties_.major != 9 || m.format.type != WeightFormat::Type::kBF16 || m.in % 8 != 0) {
      return;
    }
    const auto floats = [](std::int64_t count, float value) {
      return std::vector<float>(static_cast<std::size_t>(count), value);
    };
    const bool is_layer_norm = norm.bias.bytes() > 0;
    if (is_layer_norm) {
      if (m.bias == nullptr) linear.bias = to_device(floats(m.out, 0));
      m.bias = linear.bias.template as<float>();
      linear.row_sums = to_device(floats(m.out, 0));
    }
    NormFolding<target>::fold(*packing_, norm.norm.weight, is_layer_norm ? norm.shift : nullptr,
                              {linear.weight.template as<BFloat16>(), m.out, m.in, m.row_bytes / 2},
                              linear.bias.template as<float>(),
                              linear.row_sums.template as<float>());
    packing_->synchronize();
    const auto send_all = [&](DeviceBuffer<target>& to, float value) {
      const auto all = floats(m.in, value);
      send(to.template as<float>(), all.data(), to.bytes());
    };
    send_all(norm.weight, 1);
    if (is_layer_norm) send_all(norm.bias, 0);
    norm.norm.folded = true;
  }
}

// Cache
// --------------------------------------------------------------------------------------------

template <Target target, class E>
auto CudaBackend<target, E>::make_cache(const CacheShape& shape, const AttentionShape& attention)
    -> Cache {
  Cache cache{
      .shape = shape,
      .attention = {.heads = static_cast<int>(attention.heads),
                    .kv_heads = static_cast<int>(attention.kv_heads),
                    .head_dim = static_cast<int>(attention.head_dim)},
      .memory = DeviceBuffer<target>(static_cast<std::size_t>(shape.elements()) * sizeof(E)),
      .tables = {}};
  const auto rotations = rotation_table(shape.tokens(), attention.head_dim, attention.rope_theta);
  constexpr std::size_t kAlign = 256;
  const std::size_t bytes = (rotations.size() * sizeof(float) + kAlign - 1) / kAlign * kAlign;
  const auto sums = static_cast<std::size_t>(
      AttentionKernels<target, E>::scratch_bytes(cache.attention, kSingleRows, shape.tokens()));
  cache.tables = DeviceBuffer<target>(bytes + sums);
  cache.sums = cache.tables.template as<std::byte>() + bytes;
  cache.attention.rotations = cache.tables.template as<float>();
  send(cache.tables.template as<float>(), rotations.data(), rotations.size() * sizeof(float));
  packing_->fill(cache.sums, 0, sums);
  packing_->synchronize();
  return cache;
}

}  // namespace fvlm
