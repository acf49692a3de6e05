// A block computes a tile of [kRows, kCols] positions of some channels, a lane one or two adjacent
// ones. The input under the tile is copied into shared memory once, with zero padding; a thread
// then goes down the input's rows and adds each value, read and converted once, to all outputs of
// its kWarpRows rows that it contributes to. Tiles are small, so that one image fills a device.
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
  static constexpr int kWarpRows = 2;  // of outputs
  static constexpr int kRows = 8;
  static constexpr int kCols = 8;
  static constexpr int kThreads = kRows / kWarpRows * 32;
  static constexpr int kBlocks = 5;                        // at once on an SM, as registers allow
  static constexpr int kPerLane = sizeof(E) == 4 ? 1 : 2;  // output channels
  static constexpr int kChannels = 32 * kPerLane;
  static constexpr int kInRows = (kRows - 1) * kStride + kKernel;
  static constexpr int kInCols = (kCols - 1) * kStride + kKernel;
  static constexpr int kInChannels = kChannels / kMultiplier;
  static constexpr int kTaps = kKernel * kKernel;

  E in[kInRows * kInCols * kInChannels];
  float weight[kTaps][kChannels];
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

// What a lane multiplies at one position: for each of its output channels the input channel's
// value.
template <int kMultiplier, class E, int kPerLane>
__device__ void load_values(const E* from, float (&values)[kPerLane]) {
  if constexpr (kPerLane == 2 && kMultiplier == 1) {
    const Pair two = unpack<E>(load<1>(reinterpret_cast<const std::uint32_t*>(from))[0]);
    values[0] = two.first;
    values[1] = two.second;
  } else {
    const float one = to_float(*from);
#pragma unroll
    for (float& value : values) value = one;
  }
}

// The filters of `count` channels, of `stride` in all.
template <class Tile>
__device__ void fetch_weights(Tile& tile, const float* from, int stride, int count) {
  constexpr int kPiece = 4;
  constexpr int kPieces = Tile::kChannels / kPiece;
  const bool aligned = stride % kPiece == 0;
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kTaps * kPieces; i += Tile::kThreads) {
    const int tap = i / kPieces;
    const int c = i % kPieces * kPiece;
    float* const to = &tile.weight[tap][c];
    const float* const source = from + std::int64_t{tap} * stride + c;
    if (aligned) {
      const bool inside = c < count;
      copy_async(to, inside ? source : from, inside);
    } else {
#pragma unroll
      for (int j = 0; j < kPiece; ++j) to[j] = c + j < count ? source[j] : 0.0F;
    }
  }
  copy_async_commit();
}

template <class E, int kKernel, int kStride, int kMultiplier, Activation kActivation>
__global__ void __launch_bounds__(DepthwiseTile<E, kKernel, kStride, kMultiplier>::kThreads,
                                  DepthwiseTile<E, kKernel, kStride, kMultiplier>::kBlocks)
    depthwise(const E* in, MapSize in_size, bool aligned, const float* weight, const float* bias,
              E* out, MapSize out_size) {
  using Tile = DepthwiseTile<E, kKernel, kStride, kMultiplier>;
  constexpr int kPerLane = Tile::kPerLane;
  constexpr int kWarpRows = Tile::kWarpRows;
  constexpr int kCols = Tile::kCols;
  check_launch_bounds<Tile::kThreads>();
  auto& tile = *dynamic_shared<Tile>();
  const int tiles_x = (out_size.width + kCols - 1) / kCols;
  const int y0 = static_cast<int>(blockIdx.y) / tiles_x * Tile::kRows;
  const int x0 = static_cast<int>(blockIdx.y) % tiles_x * kCols;
  const int c0 = static_cast<int>(blockIdx.x) * Tile::kChannels;
  const std::int64_t image = blockIdx.z;

  fetch_weights(tile, weight + c0, out_size.channels, out_size.channels - c0);
  wait_for_previous_kernel();
  allow_next_kernel();
  fetch_input<Tile>(tile.in, in + image * in_size.height * in_size.width * in_size.channels,
                    in_size, y0 * kStride - kKernel / 2, x0 * kStride - kKernel / 2,
                    c0 / kMultiplier, aligned);
  copy_async_wait();
  __syncthreads();

  const int lane = static_cast<int>(lane_id());
  const int row = static_cast<int>(warp_id()) * kWarpRows;
  const int in_lane = lane * kPerLane;
  const int c = c0 + in_lane;
  if (y0 + row >= out_size.height || c >= out_size.channels) return;
  float sums[kWarpRows][kCols][kPerLane];
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const float start = c + j < out_size.channels ? bias[c + j] : 0.0F;
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
#pragma unroll
      for (int i = 0; i < kCols; ++i) sums[r][i][j] = start;
    }
  }

  // A row of the input, for outputs of the rows from kFirst to before kEnd.
  const auto add_row = [&]<int kFirst, int kEnd>(int y) {
    const E* const from =
        tile.in + (row * kStride + y) * Tile::kInCols * Tile::kInChannels + in_lane / kMultiplier;
    float values[Tile::kInCols][kPerLane];
#pragma unroll
    for (int x = 0; x < Tile::kInCols; ++x) {
      load_values<kMultiplier>(from + x * Tile::kInChannels, values[x]);
    }
#pragma unroll
    for (int r = kFirst; r < kEnd; ++r) {
      const int ky = y - r * kStride;
#pragma unroll
      for (int kx = 0; kx < kKernel; ++kx) {
        const float* const taps = &tile.weight[ky * kKernel + kx][in_lane];
#pragma unroll
        for (int j = 0; j < kPerLane; ++j) {
          const float tap = taps[j];
#pragma unroll
          for (int i = 0; i < kCols; ++i) sums[r][i][j] += tap * values[i * kStride + kx][j];
        }
      }
    }
  };
  static_assert(kWarpRows == 2);
#pragma unroll 1
  for (int y = 0; y < kStride; ++y) add_row.template operator()<0, 1>(y);
#pragma unroll 1
  for (int y = kStride; y < kKernel; ++y) add_row.template operator()<0, 2>(y);
#pragma unroll 1
  for (int y = kKernel; y < kKernel + kStride; ++y) add_row.template operator()<1, 2>(y);

  const bool both = out_size.channels % 2 == 0;  // channels of a lane, stored at once
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    if (y0 + row + r >= out_size.height) break;
    E* const to =
        out + ((image * out_size.height + y0 + row + r) * out_size.width + x0) * out_size.channels +
        c;
#pragma unroll
    for (int i = 0; i < kCols; ++i) {
      if (x0 + i >= out_size.width) break;
      E* const position = to + std::int64_t{i} * out_size.channels;
      float results[kPerLane];
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) results[j] = activate<kActivation, E>(sums[r][i][j]);
      if constexpr (kPerLane == 2) {
        if (both) {
          store(reinterpret_cast<std::uint32_t*>(position),
                Vec<std::uint32_t, 1>{{pack<E>(results[0], results[1])}});
          continue;
        }
      }
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) {
        if (c + j < out_size.channels) position[j] = from_float<E>(results[j]);
      }
    }
  }
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
