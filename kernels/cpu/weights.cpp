// Packing of weights: from the host's folded form to what the kernels read.
#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu.hpp"

namespace fvlm {

Cpu::Linear Cpu::pack(const LinearSpec& spec, const HostLinear& host) {
  Linear linear{.shape = {host.out, host.in, spec.rows, formats_.of(spec)}, .bias = host.bias};
  MatrixShape& shape = linear.shape;
  const bool positions = spec.rows == Rows::kPositions;
  if (positions && bf16_kernel_ == gemm::Kernel::kFloat) shape.format = WeightFormat::kF32;
  if (shape.format.is_quantised()) {
    pack_quantised(host, linear);
  } else {
    linear.stride = round_up(host.in, simd::kRowPadding);
    linear.weight = converted_rows(host, shape.format, linear.stride);
  }
  if (positions) {
    const gemm::Kernel kernel = kernel_of(shape);
    const Buffer rows = std::exchange(
        linear.weight,
        Buffer(static_cast<std::size_t>(gemm::panel_bytes(kernel, host.out, host.in))));
    gemm::pack_panels(kernel, rows.as<std::byte>(), linear.stride, host.out, host.in,
                      linear.weight.as<std::byte>());
  }
  weight_bytes_ += static_cast<std::int64_t>(linear.weight.bytes() + linear.scales.bytes());
  return linear;
}

Buffer Cpu::converted_rows(const HostLinear& host, WeightFormat format, std::int64_t stride) const {
  const std::int64_t row_bytes = stride * format.bits() / 8;
  Buffer rows(static_cast<std::size_t>(host.out * row_bytes));
#pragma omp parallel num_threads(threads_)
  {
    std::vector<float> row(static_cast<std::size_t>(stride));
#pragma omp for
    for (std::int64_t r = 0; r < host.out; ++r) {
      host.row(r, std::span(row).first(static_cast<std::size_t>(host.in)));
      convert_row(row, format.type, rows.as<std::byte>() + r * row_bytes);
    }
  }
  return rows;
}

void Cpu::pack_quantised(const HostLinear& host, Linear& linear) const {
  const WeightFormat& format = linear.shape.format;
  linear.stride = format.padded(host.in);
  const std::int64_t row_bytes = format.row_bytes(host.in);
  const std::int64_t scales = format.scales(host.in);
  linear.weight = Buffer(static_cast<std::size_t>(host.out * row_bytes));
  linear.scales = Buffer(static_cast<std::size_t>(host.out * scales) * sizeof(BFloat16));
#pragma omp parallel num_threads(threads_)
  {
    std::vector<float> scratch(static_cast<std::size_t>(host.in));
#pragma omp for
    for (std::int64_t r = 0; r < host.out; ++r) {
      host.quantised_row(r, format, linear.weight.as<std::byte>() + r * row_bytes,
                         linear.scales.as<BFloat16>() + r * scales, scratch);
    }
  }
}

Cpu::Depthwise Cpu::pack(const DepthwiseSpec& spec, const HostDepthwise& host) {
  Depthwise packed = simd::pack_depthwise(spec, host);
  weight_bytes_ += static_cast<std::int64_t>(packed.weight.bytes());
  return packed;
}

Cpu::Stem Cpu::pack(const StemSpec&, const HostStem& host) {
  Stem packed = simd::pack_stem(host);
  weight_bytes_ += static_cast<std::int64_t>(packed.weight.bytes());
  return packed;
}

Cpu::Norm Cpu::pack(const NormSpec& spec, HostNorm host) {
  return {static_cast<float>(spec.eps), std::move(host)};
}

}  // namespace fvlm
