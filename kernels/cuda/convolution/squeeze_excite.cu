// Three small kernels: means of channels over an image's positions; the squeezing matrix, a warp
// for each output; and, for some channels and positions at a time, the channels' rows of the
// exciting matrix and their effect. A lane has two adjacent channels.
#include <cmath>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/convolution/convolution.hpp"
#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/row_access.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kChannels = 64;  // of a block
constexpr int kSlices = 4;     // of an image's positions, for blocks of their own

// Channels c and c + 1 of a position, of as many as there are; the first exists.
template <class E>
__device__ Pair load_channels(const E* position, int c, int channels) {
  if (channels % 2 != 0) {
    return {to_float(position[c]), c + 1 < channels ? to_float(position[c + 1]) : 0.0F};
  }
  if constexpr (sizeof(E) == 2) {
    return unpack<E>(load<1>(reinterpret_cast<const std::uint32_t*>(position + c))[0]);
  } else {
    const Vec<E, 2> two = load<2>(position + c);
    return {two[0], two[1]};
  }
}
template <class E>
__device__ void store_channels(E* position, int c, int channels, Pair two) {
  if (channels % 2 != 0) {
    position[c] = from_float<E>(two.first);
    if (c + 1 < channels) position[c + 1] = from_float<E>(two.second);
  } else if constexpr (sizeof(E) == 2) {
    store(reinterpret_cast<std::uint32_t*>(position + c),
          Vec<std::uint32_t, 1>{{pack<E>(two.first, two.second)}});
  } else {
    store(position + c, Vec<E, 2>{{two.first, two.second}});
  }
}

// A warp has every eighth position.
template <class E>
__global__ void __launch_bounds__(kThreads)
    channel_means(const E* in, int positions, int channels, float* mean) {
  struct Shared {
    float sums[kWarps][kChannels];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int lane = static_cast<int>(lane_id());
  const int warp = static_cast<int>(warp_id());
  const int c = static_cast<int>(blockIdx.x) * kChannels + 2 * lane;
  const E* const image = in + std::int64_t{blockIdx.y} * positions * channels;
  Pair sum{};
  if (c < channels) {
#pragma unroll 8
    for (int p = warp; p < positions; p += kWarps) {
      const Pair two = load_channels(image + std::int64_t{p} * channels, c, channels);
      sum.first += two.first;
      sum.second += two.second;
    }
  }
  shared.sums[warp][2 * lane] = sum.first;
  shared.sums[warp][2 * lane + 1] = sum.second;
  __syncthreads();
  const int i = static_cast<int>(threadIdx.x);
  const int mine = static_cast<int>(blockIdx.x) * kChannels + i;
  if (i >= kChannels || mine >= channels) return;
  float all = 0;
  for (int w = 0; w < kWarps; ++w) all += shared.sums[w][i];
  mean[std::int64_t{blockIdx.y} * channels + mine] = all / static_cast<float>(positions);
}

// The product of a row of weights with a vector, by a warp. `aligned`: both 16 bytes at a time.
template <class E>
__device__ float row_product(const E* row, const float* x, int count, bool aligned) {
  float sum = 0;
#pragma unroll 4
  for (int i = static_cast<int>(lane_id()) * 8; i < count; i += 32 * 8) {
    float weights[8];
    float values[8];
    load8(row + i, aligned, count - i, weights);
    load8(x + i, aligned, count - i, values);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum += weights[j] * values[j];
  }
  return warp_sum(sum);
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    squeeze(const float* mean, int channels, const E* weight, std::int64_t weight_stride,
            bool aligned, const float* bias, float* squeezed, int outputs) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(warp_id());
  if (row >= outputs) return;
  const std::int64_t image = blockIdx.y;
  const float sum =
      row_product(weight + row * weight_stride, mean + image * channels, channels, aligned) +
      (bias == nullptr ? 0.0F : bias[row]);
  if (lane_id() == 0) squeezed[image * outputs + row] = fmaxf(sum, 0.0F);
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    excite(const E* in, int positions, int channels, const float* squeezed, int inputs,
           const E* weight, std::int64_t weight_stride, bool aligned, const float* bias, E* out) {
  struct Shared {
    float gate[kChannels];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int warp = static_cast<int>(warp_id());
  const int c0 = static_cast<int>(blockIdx.x) * kChannels;
  const std::int64_t image = blockIdx.y;
  for (int i = warp; i < kChannels && c0 + i < channels; i += kWarps) {
    const float sum =
        row_product(weight + (c0 + i) * weight_stride, squeezed + image * inputs, inputs, aligned) +
        (bias == nullptr ? 0.0F : bias[c0 + i]);
    if (lane_id() == 0) shared.gate[i] = 1.0F / (1.0F + expf(-sum));
  }
  __syncthreads();
  const int in_block = 2 * static_cast<int>(lane_id());
  const int c = c0 + in_block;
  if (c >= channels) return;
  const Pair gate{shared.gate[in_block], c + 1 < channels ? shared.gate[in_block + 1] : 0.0F};
  const int each = (positions + kSlices - 1) / kSlices;
  const int end = min(positions, (static_cast<int>(blockIdx.z) + 1) * each);
#pragma unroll 4
  for (int p = static_cast<int>(blockIdx.z) * each + warp; p < end; p += kWarps) {
    const std::int64_t at = (image * positions + p) * channels;
    const Pair two = load_channels(in + at, c, channels);
    store_channels(out + at, c, channels,
                   {gelu<E>(two.first * gate.first), gelu<E>(two.second * gate.second)});
  }
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
  const auto over = [&](std::int64_t blocks, std::int64_t slices = 1) {
    return target::Launch{.grid = {blocks, in.batch, slices},
                          .block = target::kThreads,
                          .stream = stream,
                          .overlap_previous = true};
  };
  // Vectors begin at a multiple of 16 bytes in each image if that many floats are.
  const auto aligned = [](const View<const E>& weight) {
    return weight.cols % 4 == 0 && target::is_aligned(weight.data, weight.stride);
  };
  const std::int64_t groups = (in.channels + target::kChannels - 1) / target::kChannels;
  target::launch<target::channel_means<E>>(over(groups), in.data, positions, channels, mean.data);
  target::launch<target::squeeze<E>>(over((inputs + target::kWarps - 1) / target::kWarps),
                                     mean.data, channels, reduce.weight.data, reduce.weight.stride,
                                     aligned(reduce.weight), reduce.bias, squeezed.data, inputs);
  target::launch<target::excite<E>>(over(groups, target::kSlices), in.data, positions, channels,
                                    squeezed.data, inputs, expand.weight.data, expand.weight.stride,
                                    aligned(expand.weight), expand.bias, out.data);
}

template struct SqueezeExciteKernels<kTarget, float>;
template struct SqueezeExciteKernels<kTarget, BFloat16>;

}  // namespace fvlm
