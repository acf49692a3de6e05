// Attention of prefill: consecutive tokens of a sequence over the paged KV cache, for bfloat16.
//
// All query heads of a kv head (GQA) see the same keys, so they are packed into one tile: row m of
// the queries of a range of tokens is head m % group of token m / group. A block has 64 such rows,
// a warp 16 of them. Pages are double-buffered in shared memory: one is copied while the other is
// used.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/flash.hpp"
#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/operands.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <int kDim>
struct PrefillShape {
  static constexpr int kRows = 64;
  static constexpr int kThreads = 128;
  static constexpr int kStride = kDim + 8;  // against bank conflicts of ldmatrix
  // Keys, then values, of one page.
  struct Stage {
    BFloat16 rows[2 * kPage][kStride];
  };
  static constexpr int kSharedBytes = 2 * static_cast<int>(sizeof(Stage));
};

// Grid: [tiles of a range, kv heads, ranges].
// The bound of one block lets ptxas take the registers that it needs.
template <int kDim>
__global__ void __launch_bounds__(PrefillShape<kDim>::kThreads, 1)
    prefill_attention(const BFloat16* query, std::int64_t query_stride, DeviceAttention attention,
                      DeviceBatch batch, CacheLayer<BFloat16> cache, BFloat16* out,
                      std::int64_t out_stride) {
  using Shape = PrefillShape<kDim>;
  constexpr int kThreads = Shape::kThreads;
  constexpr int kStride = Shape::kStride;
  check_launch_bounds<kThreads>();
  auto* const stages = dynamic_shared<typename Shape::Stage>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const RowRange range = batch.ranges[blockIdx.z];
  const int group = attention.heads / attention.kv_heads;
  const int rows = range.rows * group;
  const int first_row = static_cast<int>(blockIdx.x) * Shape::kRows;
  if (first_row >= rows) return;
  const RowPlace place = batch.places[range.first_row];
  if (place.position < 0) return;
  const int kv_head = static_cast<int>(blockIdx.y);
  // Of the tile's last row; rows see less.
  const int tokens = place.position + (min(rows, first_row + Shape::kRows) - 1) / group + 1;
  const int pages = (tokens + kPage - 1) / kPage;

  const auto fetch = [&](int page) {
    constexpr int kPieces = kDim / 8;  // of 16 bytes in a row
    auto& stage = stages[page % 2];
    const std::int64_t at = batch.pages[place.first_page + page];
    const BFloat16* const from = cache.data + (at * cache.kv_heads + kv_head) * 2 * kPage * kDim;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < 2 * kPage * kPieces; i += kThreads) {
      const int row = i / kPieces;
      const int piece = i % kPieces * 8;
      const bool valid = page * kPage + row % kPage < tokens;  // others are zeros: no NaNs
      copy_async(&stage.rows[row][piece], from + row * kDim + piece, valid);
    }
    copy_async_commit();
  };
  fetch(0);

  const int g = static_cast<int>(lane_id()) / 4;
  const int t = static_cast<int>(lane_id()) % 4;
  const int warp_row = first_row + static_cast<int>(warp_id()) * 16;
  // Offsets of rows g and g + 8 of the warp's queries, and how many tokens they see.
  std::int64_t query_at[2];
  std::int64_t out_at[2];
  int visible[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int m = warp_row + g + 8 * r;
    const int token = m / group;
    const int head = kv_head * group + m % group;
    query_at[r] = (range.first_row + token) * query_stride + head * kDim;
    out_at[r] = (range.first_row + token) * out_stride + head * kDim;
    visible[r] = m < rows ? place.position + token + 1 : 0;
  }
  FragmentA<BFloat16> q[kDim / 16];
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      q[step].reg[i] = 0;
      if (visible[i % 2] > 0) {
        const auto two = load<2>(query + query_at[i % 2] + step * 16 + i / 2 * 8 + 2 * t);
        q[step].reg[i] = two[0].bits | static_cast<std::uint32_t>(two[1].bits) << 16;
      }
    }
  }

  FlashRows<kDim> flash;
  for (int page = 0; page < pages; ++page) {
    copy_async_wait();
    __syncthreads();  // this page has arrived, and all are done with the one before it
    if (page + 1 < pages) fetch(page + 1);
    const auto& stage = stages[page % 2];
    FragmentC scores[kPage / 8] = {};
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
      for (int tile = 0; tile < kPage / 8; tile += 2) {
        FragmentB<BFloat16> keys[2];
        load_b_pair(keys, &stage.rows[tile * 8][step * 16], kStride);
        mma(scores[tile], q[step], keys[0]);
        mma(scores[tile + 1], q[step], keys[1]);
      }
    }
    flash.template add<kPage>(scores, page * kPage, visible, score_scale(kDim),
                              [&](const FragmentA<BFloat16>& weights, int n) {
#pragma unroll
                                for (int tile = 0; tile < kDim / 8; tile += 2) {
                                  FragmentB<BFloat16> values[2];
                                  load_b_pair_transposed(
                                      values, &stage.rows[kPage + n * 16][tile * 8], kStride);
                                  mma(flash.out[tile], weights, values[0]);
                                  mma(flash.out[tile + 1], weights, values[1]);
                                }
                              });
  }

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float inverse = 1.0F / flash.whole_sum(r);
    if (visible[r] == 0) continue;
#pragma unroll
    for (int tile = 0; tile < kDim / 8; ++tile) {
      const FragmentC& c = flash.out[tile];
      store(out + out_at[r] + tile * 8 + 2 * t,
            Vec<BFloat16, 2>{{from_float<BFloat16>(c.reg[2 * r] * inverse),
                              from_float<BFloat16>(c.reg[2 * r + 1] * inverse)}});
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
