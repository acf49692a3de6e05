// See resize.hpp. A thread computes one output pixel of a row, and then one byte of a column: sums
// of bytes times fixed-point weights, which are exact whatever their order.
#include "kernels/cuda/resize.hpp"

#include "kernels/cuda/block.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr std::int32_t kHalf = 1 << (kWeightFractionBits - 1);

__device__ inline std::uint8_t round_to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(min(max(sum >> kWeightFractionBits, 0), 255));
}

// Grid: [outputs / kThreads, height].
__global__ void __launch_bounds__(kThreads)
    resize_rows(const std::uint8_t* picture, std::int64_t width, DeviceAxis axis,
                std::uint8_t* rows) {
  check_launch_bounds<kThreads>();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= axis.outputs()) return;
  const std::int64_t y = blockIdx.y;
  const Taps taps = axis.taps[i];
  const std::int32_t* const weights = axis.weights + i * axis.stride;
  const std::uint8_t* const from = picture + (y * width + taps.first) * 3;
  std::int32_t sums[3] = {kHalf, kHalf, kHalf};
  for (std::int64_t k = 0; k < taps.count; ++k) {
#pragma unroll
    for (int c = 0; c < 3; ++c) sums[c] += from[3 * k + c] * weights[k];
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) rows[(y * axis.outputs() + i) * 3 + c] = round_to_byte(sums[c]);
}

// Grid: [bytes of an output row / kThreads, output rows]. What the picture does not touch is black.
__global__ void __launch_bounds__(kThreads)
    resize_columns(const std::uint8_t* rows, DeviceAxis horizontal, DeviceAxis vertical,
                   std::int64_t size, std::uint8_t* out) {
  check_launch_bounds<kThreads>();
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= size * 3) return;
  const std::int64_t y = blockIdx.y;
  const std::int64_t row_bytes = horizontal.outputs() * 3;
  const std::int64_t in_row = at - horizontal.begin * 3;
  std::uint8_t result = 0;
  if (in_row >= 0 && in_row < row_bytes && y >= vertical.begin && y < vertical.end) {
    const Taps taps = vertical.taps[y - vertical.begin];
    const std::int32_t* const weights = vertical.weights + (y - vertical.begin) * vertical.stride;
    std::int32_t sum = kHalf;
    for (std::int64_t k = 0; k < taps.count; ++k) {
      sum += rows[(taps.first + k) * row_bytes + in_row] * weights[k];
    }
    result = round_to_byte(sum);
  }
  out[y * size * 3 + at] = result;
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::kThreads;
using target::launch;
using target::Launch;

template <>
void ResizeKernels<kTarget>::resize(Stream<kTarget>& stream, FeatureMap<const std::uint8_t> picture,
                                    const DeviceAxis& horizontal, const DeviceAxis& vertical,
                                    std::uint8_t* rows, FeatureMap<std::uint8_t> out) {
  const auto blocks = [](std::int64_t threads) { return (threads + kThreads - 1) / kThreads; };
  // A grid has at most 65535 rows of blocks.
  constexpr std::int64_t kMostRows = 65535;
  for (std::int64_t y = 0; y < picture.height; y += kMostRows) {
    const std::int64_t count = std::min(kMostRows, picture.height - y);
    launch<target::resize_rows>(
        Launch{.grid = {blocks(horizontal.outputs()), count}, .block = kThreads, .stream = stream},
        picture.row(0, y), picture.width, horizontal, rows + y * horizontal.outputs() * 3);
  }
  launch<target::resize_columns>(
      Launch{.grid = {blocks(out.width * 3), out.height}, .block = kThreads, .stream = stream},
      rows, horizontal, vertical, out.width, out.data);
}

}  // namespace fvlm
