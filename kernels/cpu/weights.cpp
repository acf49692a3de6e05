// Packing of weights: from the host's folded form to what the kernels read.
#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu.hpp"

namespace fvlm {
namespace {

// Weight rows in the type that they are kept in, one after another.
class RowConverter {
 public:
  RowConverter(const HostLinear& host, WeightFormat format, std::int64_t stride)
      : host_(host), format_(format), row_(static_cast<std::size_t>(stride)) {}

  void convert(std::int64_t row, std::byte* to) {
    host_.row(row, std::span(row_).first(static_cast<std::size_t>(host_.in)));
    convert_row(row_, format_.type, to);
  }

 private:
  const HostLinear& host_;
  WeightFormat format_;
  std::vector<float> row_;  // with zeros at its end
};

}  // namespace

Cpu::Linear Cpu::pack(const LinearSpec& spec, const HostLinear& host) {
  Linear linear{.shape = {host.out, host.in, spec.rows, formats_.of(spec)}, .bias = host.bias};
  MatrixShape& shape = linear.shape;
  const bool positions = spec.rows == Rows::kPositions;
  if (positions && bf16_kernel_ == gemm::Kernel::kFloat) shape.format = WeightFormat::kF32;
  if (shape.format.is_quantised()) {
    pack_quantised(host, linear);
  } else {
    linear.stride = stride_of(shape);
    if (positions || stored_packed(shape)) {
      pack_panels(host, linear);
    } else {
      pack_rows(host, linear);
    }
  }
  weight_bytes_ += static_cast<std::int64_t>(linear.weight.bytes() + linear.scales.bytes());
  return linear;
}

void Cpu::pack_rows(const HostLinear& host, Linear& linear) const {
  const std::int64_t row_bytes = linear.stride * linear.shape.format.bits() / 8;
  linear.weight = Buffer(static_cast<std::size_t>(host.out * row_bytes));
  team_->for_blocks(host.out, [&](std::int64_t first, std::int64_t count) {
    RowConverter rows(host, linear.shape.format, linear.stride);
    for (std::int64_t r = first; r < first + count; ++r) {
      rows.convert(r, linear.weight.as<std::byte>() + r * row_bytes);
    }
  });
}

void Cpu::pack_panels(const HostLinear& host, Linear& linear) const {
  const gemm::Kernel kernel = kernel_of(linear.shape);
  const std::int64_t row_bytes = linear.stride * linear.shape.format.bits() / 8;
  const auto panel_bytes = [&](std::int64_t outputs) {
    return gemm::panel_bytes(kernel, outputs, host.in);
  };
  linear.weight = Buffer(static_cast<std::size_t>(panel_bytes(host.out)));
  team_->for_blocks(host.out, gemm::kPanel, [&](std::int64_t first, std::int64_t count) {
    RowConverter rows(host, linear.shape.format, linear.stride);
    const Buffer panel(static_cast<std::size_t>(gemm::kPanel * row_bytes));
    for (std::int64_t r = 0; r < count; ++r) {
      rows.convert(first + r, panel.as<std::byte>() + r * row_bytes);
    }
    gemm::pack_panels(kernel, panel.as<std::byte>(), linear.stride, count, host.in,
                      linear.weight.as<std::byte>() + panel_bytes(first));
  });
}

void Cpu::pack_quantised(const HostLinear& host, Linear& linear) const {
  const WeightFormat& format = linear.shape.format;
  linear.stride = format.padded(host.in);
  const std::int64_t row_bytes = format.row_bytes(host.in);
  const std::int64_t scales = format.scales(host.in);
  linear.weight = Buffer(static_cast<std::size_t>(host.out * row_bytes));
  linear.scales = Buffer(static_cast<std::size_t>(host.out * scales) * sizeof(BFloat16));
  team_->for_blocks(host.out, [&](std::int64_t first, std::int64_t count) {
    std::vector<float> scratch(static_cast<std::size_t>(host.in));
    for (std::int64_t r = first; r < first + count; ++r) {
      host.quantised_row(r, format, linear.weight.as<std::byte>() + r * row_bytes,
                         linear.scales.as<BFloat16>() + r * scales, scratch);
    }
  });
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
