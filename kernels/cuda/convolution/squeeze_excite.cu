// Three small kernels: means of channels over an image's positions; the squeezing matrix, a warp
// for each output; and, for some channels at a time, their rows of the exciting matrix and its
// effect on all positions.
#include <cmath>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/convolution/convolution.hpp"
#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// A block has 32 channels, a warp every eighth position.
template <class E>
__global__ void __launch_bounds__(kThreads)
    channel_means(const E* in, int positions, int channels, float* mean) {
  struct Shared {
    float sums[kWarps][32];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  const int lane = static_cast<int>(lane_id());
  const int warp = static_cast<int>(warp_id());
  const int c = static_cast<int>(blockIdx.x) * 32 + lane;
  const E* const image = in + std::int64_t{blockIdx.y} * positions * channels;
  float sum = 0;
  if (c < channels) {
    for (int p = warp; p < positions; p += kWarps) {
      sum += to_float(image[std::int64_t{p} * channels + c]);
    }
  }
  shared.sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || c >= channels) return;
  for (int i = 1; i < kWarps; ++i) sum += shared.sums[i][lane];
  mean[std::int64_t{blockIdx.y} * channels + c] = sum / static_cast<float>(positions);
  allow_next_kernel();
}

// The product of a row of weights with a vector, by a warp.
template <class E>
__device__ float row_product(const E* row, const float* x, int count) {
  float sum = 0;
  for (int i = static_cast<int>(lane_id()); i < count; i += 32) sum += to_float(row[i]) * x[i];
  return warp_sum(sum);
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    squeeze(const float* mean, int channels, const E* weight, std::int64_t weight_stride,
            const float* bias, float* squeezed, int outputs) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(warp_id());
  if (row >= outputs) return;
  const std::int64_t image = blockIdx.y;
  const float sum = row_product(weight + row * weight_stride, mean + image * channels, channels) +
                    (bias == nullptr ? 0.0F : bias[row]);
  if (lane_id() == 0) squeezed[image * outputs + row] = fmaxf(sum, 0.0F);
  allow_next_kernel();
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    excite(const E* in, int positions, int channels, const float* squeezed, int inputs,
           const E* weight, std::int64_t weight_stride, const float* bias, E* out) {
  struct Shared {
    float gate[32];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  const int lane = static_cast<int>(lane_id());
  const int warp = static_cast<int>(warp_id());
  const int c0 = static_cast<int>(blockIdx.x) * 32;
  const std::int64_t image = blockIdx.y;
  for (int i = warp; i < 32 && c0 + i < channels; i += kWarps) {
    const float sum =
        row_product(weight + (c0 + i) * weight_stride, squeezed + image * inputs, inputs) +
        (bias == nullptr ? 0.0F : bias[c0 + i]);
    if (lane == 0) shared.gate[i] = 1.0F / (1.0F + expf(-sum));
  }
  __syncthreads();
  const int c = c0 + lane;
  if (c >= channels) return;
  const float gate = shared.gate[lane];
  for (int p = warp; p < positions; p += kWarps) {
    const std::int64_t at = (image * positions + p) * channels + c;
    out[at] = from_float<E>(gelu<E>(to_float(in[at]) * gate));
  }
  allow_next_kernel();
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t, class E>
void SqueezeExciteKernels<t, E>::squeeze_excite(Stream<t>& stream, FeatureMap<const E> in,
                                                const Layer<E>& reduce, const Layer<E>& expand,
                                                View<float> mean, View<float> squeezed,
                                                FeatureMap<E> out) {
  const auto positions = static_cast<int>(in.positions());
  const auto channels = static_cast<int>(in.channels);
  const auto inputs = static_cast<int>(reduce.weight.rows);
  const auto over = [&](std::int64_t blocks) {
    return target::Launch{.grid = {blocks, in.batch},
                          .block = target::kThreads,
                          .stream = stream,
                          .overlap_previous = true};
  };
  const std::int64_t groups = (in.channels + 31) / 32;
  target::launch<target::channel_means<E>>(over(groups), in.data, positions, channels, mean.data);
  target::launch<target::squeeze<E>>(over((inputs + target::kWarps - 1) / target::kWarps),
                                     mean.data, channels, reduce.weight.data, reduce.weight.stride,
                                     reduce.bias, squeezed.data, inputs);
  target::launch<target::excite<E>>(over(groups), in.data, positions, channels, squeezed.data,
                                    inputs, expand.weight.data, expand.weight.stride, expand.bias,
                                    out.data);
}

template struct SqueezeExciteKernels<kTarget, float>;
template struct SqueezeExciteKernels<kTarget, BFloat16>;

}  // namespace fvlm
