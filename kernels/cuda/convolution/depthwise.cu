// A block computes a tile of [kRows, kCols] positions of some channels, a lane one or two adjacent
// ones. The input under the tile is copied into shared memory once, with zero padding; a thread
// then goes along input rows and adds each value, read once, to all outputs of its run of kRun that
// it contributes to.
#include "kernels/cuda/convolution/convolution.hpp"

#include <type_traits>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

struct MapSize {
  int height;
  int width;
  int channels;
};

template <class E, int kKernel, int kStride, int kMultiplier>
struct DepthwiseTile {
  static constexpr int kThreads = 256;
  static constexpr int kRows = 8;  // of outputs: one for each warp
  static constexpr int kCols = 16;
  static constexpr int kRun = 8;  // neighbouring outputs that a thread computes together
  static constexpr int kPerLane = sizeof(E) == 4 ? 1 : 2;  // output channels
  static constexpr int kChannels = 32 * kPerLane;
  static constexpr int kInRows = (kRows - 1) * kStride + kKernel;
  static constexpr int kInCols = (kCols - 1) * kStride + kKernel;
  static constexpr int kInChannels = kChannels / kMultiplier;
  static constexpr int kTaps = kKernel * kKernel;
  static_assert(kRows * 32 == kThreads && kCols % kRun == 0);

  E in[kInRows * kInCols * kInChannels];
  float weight[kTaps * kChannels];
};

// The input under a tile, from (y0, x0) and channel c0 on, which may be beyond the map.
template <class Tile, class E>
__device__ void fetch_input(E* to, const E* image, MapSize size, int y0, int x0, int c0,
                            bool aligned) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(E));
  constexpr int kPieces = Tile::kInChannels / kPiece;
  constexpr int kCopies = Tile::kInRows * Tile::kInCols * kPieces;
  for (int i = static_cast<int>(threadIdx.x); i < kCopies; i += Tile::kThreads) {
    const int position = i / kPieces;
    const int c = c0 + i % kPieces * kPiece;
    const int y = y0 + position / Tile::kInCols;
    const int x = x0 + position % Tile::kInCols;
    const bool inside = y >= 0 && y < size.height && x >= 0 && x < size.width && c < size.channels;
    const E* const from =
        inside ? image + (std::int64_t{y} * size.width + x) * size.channels + c : image;
    if (!inside || (aligned && c + kPiece <= size.channels)) {
      copy_async(to + i * kPiece, from, inside && aligned);
    } else {
#pragma unroll
      for (int j = 0; j < kPiece; ++j) to[i * kPiece + j] = c + j < size.channels ? from[j] : E{};
    }
  }
  copy_async_commit();
}

template <class E, int kKernel, int kStride, int kMultiplier, Activation kActivation>
__global__ void __launch_bounds__(256)
    depthwise(const E* in, MapSize in_size, bool aligned, const float* weight, const float* bias,
              E* out, MapSize out_size) {
  using Tile = DepthwiseTile<E, kKernel, kStride, kMultiplier>;
  constexpr int kPerLane = Tile::kPerLane;
  check_launch_bounds<Tile::kThreads>();
  auto& tile = *dynamic_shared<Tile>();
  const int tiles_x = (out_size.width + Tile::kCols - 1) / Tile::kCols;
  const int y0 = static_cast<int>(blockIdx.y) / tiles_x * Tile::kRows;
  const int x0 = static_cast<int>(blockIdx.y) % tiles_x * Tile::kCols;
  const int c0 = static_cast<int>(blockIdx.x) * Tile::kChannels;
  const std::int64_t image = blockIdx.z;

  for (int i = static_cast<int>(threadIdx.x); i < Tile::kTaps * Tile::kChannels;
       i += Tile::kThreads) {
    const int c = c0 + i % Tile::kChannels;
    tile.weight[i] =
        c < out_size.channels ? weight[i / Tile::kChannels * out_size.channels + c] : 0.0F;
  }
  wait_for_previous_kernel();
  fetch_input<Tile>(tile.in, in + image * in_size.height * in_size.width * in_size.channels,
                    in_size, y0 * kStride - kKernel / 2, x0 * kStride - kKernel / 2,
                    c0 / kMultiplier, aligned);
  copy_async_wait();
  __syncthreads();

  const int lane = static_cast<int>(lane_id());
  const int row = static_cast<int>(warp_id());
  const int c = c0 + lane * kPerLane;
  if (y0 + row >= out_size.height || c >= out_size.channels) return;
  const bool both = kPerLane == 1 || out_size.channels % 2 == 0;  // channels, stored at once
  float start[kPerLane];
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) start[j] = c + j < out_size.channels ? bias[c + j] : 0.0F;

  for (int run = 0; run < Tile::kCols && x0 + run < out_size.width; run += Tile::kRun) {
    float sums[Tile::kRun][kPerLane];
#pragma unroll
    for (int i = 0; i < Tile::kRun; ++i) {
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) sums[i][j] = start[j];
    }
#pragma unroll 1
    for (int ky = 0; ky < kKernel; ++ky) {
      float taps[kKernel][kPerLane];
#pragma unroll
      for (int kx = 0; kx < kKernel; ++kx) {
#pragma unroll
        for (int j = 0; j < kPerLane; ++j) {
          taps[kx][j] = tile.weight[(ky * kKernel + kx) * Tile::kChannels + lane * kPerLane + j];
        }
      }
      const E* const from =
          tile.in + ((row * kStride + ky) * Tile::kInCols + run * kStride) * Tile::kInChannels +
          lane * kPerLane / kMultiplier;
#pragma unroll
      for (int x = 0; x < (Tile::kRun - 1) * kStride + kKernel; ++x) {
        float value[kPerLane];
        if constexpr (kPerLane == 2 && kMultiplier == 1) {
          const Vec<E, 2> two = load<2>(from + x * Tile::kInChannels);
          value[0] = to_float(two[0]);
          value[1] = to_float(two[1]);
        } else {
          const float one = to_float(from[x * Tile::kInChannels]);
#pragma unroll
          for (int j = 0; j < kPerLane; ++j) value[j] = one;
        }
#pragma unroll
        for (int kx = x % kStride; kx < kKernel; kx += kStride) {
          const int i = (x - kx) / kStride;
          if (x < kx || i >= Tile::kRun) continue;
#pragma unroll
          for (int j = 0; j < kPerLane; ++j) sums[i][j] += taps[kx][j] * value[j];
        }
      }
    }
    E* const to =
        out +
        ((image * out_size.height + y0 + row) * out_size.width + x0 + run) * out_size.channels + c;
#pragma unroll
    for (int i = 0; i < Tile::kRun; ++i) {
      if (x0 + run + i >= out_size.width) break;
      Vec<E, 4 / static_cast<int>(sizeof(E))> result;
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) {
        result[j] = from_float<E>(activate<kActivation, E>(sums[i][j]));
      }
      if (both) {
        store(to + std::int64_t{i} * out_size.channels, result);
      } else {
#pragma unroll
        for (int j = 0; j < kPerLane; ++j) {
          if (c + j < out_size.channels) to[std::int64_t{i} * out_size.channels + j] = result[j];
        }
      }
    }
  }
  allow_next_kernel();
}

template <class E, int kKernel, int kStride, int kMultiplier, Activation kActivation>
void launch_depthwise(Stream<kTarget>& stream, FeatureMap<const E> in,
                      const DepthwiseFilters& filters, FeatureMap<E> out) {
  using Tile = DepthwiseTile<E, kKernel, kStride, kMultiplier>;
  const auto size = [](const auto& map) {
    return MapSize{static_cast<int>(map.height), static_cast<int>(map.width),
                   static_cast<int>(map.channels)};
  };
  const auto tiles = [](std::int64_t count, int each) { return (count + each - 1) / each; };
  const bool aligned = in.channels * static_cast<std::int64_t>(sizeof(E)) % 16 == 0 &&
                       reinterpret_cast<std::uintptr_t>(in.data) % 16 == 0;
  launch<depthwise<E, kKernel, kStride, kMultiplier, kActivation>>(
      Launch{.grid = {tiles(out.channels, Tile::kChannels),
                      tiles(out.height, Tile::kRows) * tiles(out.width, Tile::kCols), out.batch},
             .block = Tile::kThreads,
             .shared_bytes = sizeof(Tile),
             .stream = stream,
             .overlap_previous = true},
      in.data, size(in), aligned, filters.weight, filters.bias, out.data, size(out));
}

// Calls work.template operator()<kernel, stride, multiplier>() if there is such an instance.
template <class Work>
bool dispatch_depthwise(std::int64_t kernel, std::int64_t stride, std::int64_t multiplier,
                        Work&& work) {
  const auto is = [&](int k, int s, int m) {
    return kernel == k && stride == s && multiplier == m;
  };
  if (is(3, 1, 1)) return work.template operator()<3, 1, 1>(), true;
  if (is(3, 1, 2)) return work.template operator()<3, 1, 2>(), true;
  if (is(3, 2, 1)) return work.template operator()<3, 2, 1>(), true;
  if (is(7, 1, 1)) return work.template operator()<7, 1, 1>(), true;
  if (is(7, 2, 2)) return work.template operator()<7, 2, 2>(), true;
  return false;
}

struct Nothing {
  template <int kKernel, int kStride, int kMultiplier>
  void operator()() const {}
};

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t, class E>
bool DepthwiseKernels<t, E>::supports(std::int64_t kernel, std::int64_t stride,
                                      std::int64_t multiplier) {
  return target::dispatch_depthwise(kernel, stride, multiplier, target::Nothing{});
}

template <Target t, class E>
void DepthwiseKernels<t, E>::depthwise(Stream<t>& stream, FeatureMap<const E> in,
                                       const DepthwiseFilters& filters, Activation activation,
                                       FeatureMap<E> out) {
  target::dispatch_depthwise(
      filters.kernel, filters.stride, filters.multiplier,
      [&]<int kKernel, int kStride, int kMultiplier>() {
        if (activation == Activation::kGelu) {
          target::launch_depthwise<E, kKernel, kStride, kMultiplier, Activation::kGelu>(
              stream, in, filters, out);
        } else {
          target::launch_depthwise<E, kKernel, kStride, kMultiplier, Activation::kNone>(
              stream, in, filters, out);
        }
      });
}

template struct DepthwiseKernels<kTarget, float>;
template struct DepthwiseKernels<kTarget, BFloat16>;

}  // namespace fvlm
