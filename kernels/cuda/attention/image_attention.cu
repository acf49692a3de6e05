// FlashAttention of the encoder: softmax(q k^T / sqrt(head dim)) v without writing the scores. Keys
// and values pass by in tiles.
//
// bfloat16: a block has kQueries queries of one head, a warp 16 of them in registers (flash.hpp).
// Tiles of keys and values are double-buffered.
// float: a warp for each query, a lane for each key of a tile and then for each channel.
#include <cassert>
#include <cmath>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/attention/attention.hpp"
#include "kernels/cuda/attention/flash.hpp"
#include "kernels/cuda/gemm/tile_operand.hpp"
#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/row_access.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kQueries = 16 * kWarps;
constexpr int kKeys = 64;  // of a tile

template <class E, int kDim>
struct Tiles {
  E query[kQueries * kDim];
  struct {
    E key[kKeys * kDim];
    E value[kKeys * kDim];
  } stage[2];
};

template <class E, int kDim>
__global__ void __launch_bounds__(kThreads)
    flash_attention(const E* qkv, std::int64_t stride, int tokens, int channels, E* out,
                    std::int64_t out_stride) {
  using Shared = Tiles<E, kDim>;
  using Operand = RowOperand<E, false>;
  check_launch_bounds<kThreads>();
  auto& shared = *dynamic_shared<Shared>();
  const int first_query = static_cast<int>(blockIdx.x) * kQueries;
  const int head = static_cast<int>(blockIdx.y) * kDim;
  const std::int64_t first_row = std::int64_t{blockIdx.z} * tokens;
  const E* const base = qkv + first_row * stride + head;
  const Operand queries(base, stride, tokens, kDim);
  const Operand keys(base + channels, stride, tokens, kDim);
  const Operand values(base + 2 * channels, stride, tokens, kDim);

  wait_for_previous_kernel();
  allow_next_kernel();
  const auto fetch = [&](int tile) {
    auto& stage = shared.stage[tile % 2];
    keys.template fetch<kKeys, kDim, kThreads>(stage.key, tile * kKeys, 0);
    values.template fetch<kKeys, kDim, kThreads>(stage.value, tile * kKeys, 0);
  };
  queries.template fetch<kQueries, kDim, kThreads>(shared.query, first_query, 0);
  fetch(0);
  copy_async_commit();

  const int warp_row = static_cast<int>(warp_id()) * 16;
  FragmentA<E> query[kDim / 16];
  FlashRows<kDim> flash;
  const int visible[2] = {tokens, tokens};
  const int tiles = (tokens + kKeys - 1) / kKeys;
  for (int tile = 0; tile < tiles; ++tile) {
    copy_async_wait();
    __syncthreads();  // the tile has arrived, and all are done with the other
    if (tile + 1 < tiles) fetch(tile + 1);
    copy_async_commit();
    if (tile == 0) {
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d) {
        Operand::template load_a<kQueries, kDim>(query[d], shared.query, warp_row, 16 * d);
      }
    }
    const auto& stage = shared.stage[tile % 2];
    FragmentC scores[kKeys / 8] = {};
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d) {
        FragmentB<E> key[2];
        Operand::template load_b<kKeys, kDim>(key, stage.key, 16 * k, 16 * d);
        mma(scores[2 * k], query[d], key[0]);
        mma(scores[2 * k + 1], query[d], key[1]);
      }
    }
    flash.template add<kKeys>(
        scores, tile * kKeys, visible, score_scale(kDim), [&](const FragmentA<E>& weights, int n) {
#pragma unroll
          for (int d = 0; d < kDim / 16; ++d) {
            FragmentB<E> value[2];
            Operand::template load_b_transposed<kDim>(value, stage.value, 16 * n, 16 * d);
            mma(flash.out[2 * d], weights, value[0]);
            mma(flash.out[2 * d + 1], weights, value[1]);
          }
        });
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float inverse = 1.0F / flash.whole_sum(half);
    const int row = first_query + warp_row + FragmentC::row(2 * half);
    if (row >= tokens) continue;
    E* const to = out + (first_row + row) * out_stride + head;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const float* const two = flash.out[d].reg + 2 * half;
      store(reinterpret_cast<std::uint32_t*>(to + 8 * d + FragmentC::col(0)),
            Vec<std::uint32_t, 1>{{pack<E>(two[0] * inverse, two[1] * inverse)}});
    }
  }
}

template <int kDim>
__global__ void __launch_bounds__(kThreads)
    plain_attention(const float* qkv, std::int64_t stride, int tokens, int channels, float* out,
                    std::int64_t out_stride) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  allow_next_kernel();
  constexpr int kOwn = (kDim + 31) / 32;  // channels of a lane
  const int query_row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(warp_id());
  if (query_row >= tokens) return;
  const int head = static_cast<int>(blockIdx.y) * kDim;
  const std::int64_t first_row = std::int64_t{blockIdx.z} * tokens;
  const int lane = static_cast<int>(lane_id());
  const float scale = score_scale(kDim);
  const float* const base = qkv + first_row * stride + head;
  const float* const query = base + query_row * stride;

  float sums[kOwn] = {};
  float largest = -INFINITY;
  float total = 0;
  for (int first = 0; first < tokens; first += 32) {
    float score = -INFINITY;
    if (first + lane < tokens) {
      const float* const key = base + (first + lane) * stride + channels;
      float dot = 0;
#pragma unroll 8
      for (int d = 0; d < kDim; ++d) dot += query[d] * key[d];
      score = dot * scale;
    }
    const float now = fmaxf(largest, warp_max(score));
    const float shrink = exp2f(largest - now);
    const float weight = exp2f(score - now);
    largest = now;
    total = total * shrink + weight;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) sums[i] *= shrink;
    const int count = min(32, tokens - first);
    for (int k = 0; k < count; ++k) {
      const float one = __shfl_sync(kAllLanes, weight, k);
      const float* const value = base + (first + k) * stride + 2 * channels;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        if (lane + 32 * i < kDim) sums[i] += one * value[lane + 32 * i];
      }
    }
  }
  total = warp_sum(total);
  float* const to = out + (first_row + query_row) * out_stride + head;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    if (lane + 32 * i < kDim) to[lane + 32 * i] = sums[i] / total;
  }
}

template <int kDim, class E>
void launch_attention(Stream<kTarget>& stream, View<const E> qkv, std::int64_t images,
                      View<E> out) {
  assert(is_aligned(qkv.data, qkv.stride) && is_aligned(out.data, out.stride));
  const std::int64_t tokens = qkv.rows / images;
  const auto over = [&](std::int64_t queries, std::size_t shared_bytes) {
    return Launch{.grid = {(tokens + queries - 1) / queries, out.cols / kDim, images},
                  .block = kThreads,
                  .shared_bytes = shared_bytes,
                  .stream = stream,
                  .overlap_previous = true};
  };
  if constexpr (sizeof(E) == 4) {
    launch<plain_attention<kDim>>(over(kWarps, 0), qkv.data, qkv.stride, static_cast<int>(tokens),
                                  static_cast<int>(out.cols), out.data, out.stride);
  } else {
    launch<flash_attention<E, kDim>>(over(kQueries, sizeof(Tiles<E, kDim>)), qkv.data, qkv.stride,
                                     static_cast<int>(tokens), static_cast<int>(out.cols), out.data,
                                     out.stride);
  }
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t, class E>
void ImageAttentionKernels<t, E>::attention(Stream<t>& stream, View<const E> qkv,
                                            std::int64_t images, std::int64_t head_dim,
                                            View<E> out) {
  if (head_dim == 16) target::launch_attention<16>(stream, qkv, images, out);
  if (head_dim == 32) target::launch_attention<32>(stream, qkv, images, out);
  if (head_dim == 64) target::launch_attention<64>(stream, qkv, images, out);
}

template struct ImageAttentionKernels<kTarget, float>;
template struct ImageAttentionKernels<kTarget, BFloat16>;

}  // namespace fvlm
