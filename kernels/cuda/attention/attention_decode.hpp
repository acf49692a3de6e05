// Attention of decode steps over the paged KV cache, for bfloat16: flash decoding, split along the
// keys.
//
// A block takes the query heads of one kv head and one page, each of its warps a part of the page:
// so a single sequence of some hundred tokens already keeps dozens of SMs busy, with all its loads
// under way at once. Keys and values go from global memory straight into fragments, 16 bytes a
// lane: the order of a product's depth, or of its columns, is free as long as both operands agree,
// so a lane's eight consecutive dimensions stand for those that its place in the fragment holds.
// The last block to finish of those that share a token and kv head combines their results, in the
// order of the pages whichever block is last.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/flash.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Query heads of a kv head that a block takes.
inline constexpr int kHeadRows = 16;

// What blocks leave for the last one of them: for every single token of the batch, split and query
// head, the maximum of the scores, the sum of weights and the weighted sum of values. The counters,
// one for each token and kv head and part of its query heads, are zero before and after the kernel.
struct SplitScratch {
  unsigned* counters;  // [singles, y of the grid]
  float* parts;        // [singles, splits, heads, head_dim + 2]
};

template <int kDim>
class DecodeAttention {
  // Neighbouring dimensions that a lane loads of a key and of a value.
  static constexpr int kKeyVec = kDim / 4 < 8 ? kDim / 4 : 8;
  static constexpr int kValueVec = kDim / 8 < 8 ? kDim / 8 : 8;
  static constexpr int kKeyChunks = kDim / (4 * kKeyVec);
  static constexpr int kValueChunks = kDim / (8 * kValueVec);
  static constexpr int kTokens = kDim <= 64 ? 32 : 16;  // of a warp
  static constexpr int kStepsOfVec = kKeyVec / 4;

 public:
  static constexpr int kWarps = kPage / kTokens;
  static constexpr int kThreads = 32 * kWarps;

  using Part = float[2 + kDim];  // the maximum score, the sum of weights, the weighted values
  struct Shared {
    Part parts[kWarps][kHeadRows];
    bool last;
  };

  // Of one warp: q has `rows` query heads, dim apart.
  __device__ DecodeAttention(const BFloat16* q, int rows) {
    const int g = static_cast<int>(lane_id()) / 4;
    const int t = static_cast<int>(lane_id()) % 4;
#pragma unroll
    for (int chunk = 0; chunk < kKeyChunks; ++chunk) {
      Vec<BFloat16, kKeyVec> row[2] = {};
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (g + 8 * r < rows) {
          row[r] = load<kKeyVec>(q + (g + 8 * r) * kDim + (chunk * 4 + t) * kKeyVec);
        }
      }
#pragma unroll
      for (int step = 0; step < kStepsOfVec; ++step) {
        FragmentA<BFloat16>& a = query_[chunk * kStepsOfVec + step];
        a.reg[0] = pair(row[0], 4 * step);
        a.reg[1] = pair(row[1], 4 * step);
        a.reg[2] = pair(row[0], 4 * step + 2);
        a.reg[3] = pair(row[1], 4 * step + 2);
      }
    }
  }

  // The warp's part of a page that begins with token `first`, of which those before `tokens` exist,
  // from the page's keys; its values are behind them.
  __device__ void add(const BFloat16* keys, int first, int tokens) {
    const BFloat16* const values = keys + kPage * kDim;
    const int g = static_cast<int>(lane_id()) / 4;
    const int t = static_cast<int>(lane_id()) % 4;
    const int visible[2] = {tokens, tokens};
    const int at = static_cast<int>(warp_id()) * kTokens;
    if (first + at >= tokens) return;
    // The values are on their way while the scores are computed.
    Vec<BFloat16, kValueVec> v[kTokens / 16][kValueChunks][4];
#pragma unroll
    for (int n = 0; n < kTokens / 16; ++n) {
#pragma unroll
      for (int chunk = 0; chunk < kValueChunks; ++chunk) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {  // tokens 2 t, 2 t + 1, 2 t + 8, 2 t + 9
          const int of = at + 16 * n + 2 * t + i % 2 + i / 2 * 8;
          v[n][chunk][i] = {};  // unwritten memory may be NaN
          if (first + of < tokens) {
            v[n][chunk][i] = load<kValueVec>(values + of * kDim + (chunk * 8 + g) * kValueVec);
          }
        }
      }
    }
    FragmentC scores[kTokens / 8] = {};
#pragma unroll
    for (int tile = 0; tile < kTokens / 8; ++tile) {
      const BFloat16* const key = keys + (at + tile * 8 + g) * kDim;
#pragma unroll
      for (int chunk = 0; chunk < kKeyChunks; ++chunk) {
        const auto vec = load<kKeyVec>(key + (chunk * 4 + t) * kKeyVec);
#pragma unroll
        for (int step = 0; step < kStepsOfVec; ++step) {
          mma(scores[tile], query_[chunk * kStepsOfVec + step],
              FragmentB<BFloat16>{{pair(vec, 4 * step), pair(vec, 4 * step + 2)}});
        }
      }
    }
    rows_.template add<kTokens>(scores, first + at, visible, score_scale(kDim),
                                [&](const FragmentA<BFloat16>& weights, int n) {
#pragma unroll
                                  for (int chunk = 0; chunk < kValueChunks; ++chunk) {
                                    const auto& four = v[n][chunk];
#pragma unroll
                                    for (int j = 0; j < kValueVec; ++j) {
                                      mma(rows_.out[chunk * kValueVec + j], weights,
                                          FragmentB<BFloat16>{{join(four[0][j], four[1][j]),
                                                               join(four[2][j], four[3][j])}});
                                    }
                                  }
                                });
  }

  __device__ void write(Part (&to)[kHeadRows]) const {
    const int g = static_cast<int>(lane_id()) / 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float sum = rows_.whole_sum(r);
      Part& part = to[g + 8 * r];
      if (lane_id() % 4 == 0) {
        part[0] = rows_.largest[r];
        part[1] = sum;
      }
#pragma unroll
      for (int chunk = 0; chunk < kValueChunks; ++chunk) {
#pragma unroll
        for (int j = 0; j < kValueVec; ++j) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            part[2 + (chunk * 8 + FragmentC::col(i)) * kValueVec + j] =
                rows_.out[chunk * kValueVec + j].reg[2 * r + i];
          }
        }
      }
    }
  }

 private:
  __device__ static std::uint32_t join(BFloat16 a, BFloat16 b) {
    return a.bits | static_cast<std::uint32_t>(b.bits) << 16;
  }
  template <class V>
  __device__ static std::uint32_t pair(const V& v, int i) {
    return join(v[i], v[i + 1]);
  }

  FragmentA<BFloat16> query_[kDim / 16];
  FlashRows<kDim> rows_;
};

// One element of several parts' common result. part(i) is the i-th; one that has seen no token has
// no weight.
struct Combined {
  float largest;
  float sum;
  float value;
};
template <class F>
__device__ inline Combined combine(int parts, int dim, F&& part) {
  Combined all = {-INFINITY, 0, 0};
  for (int i = 0; i < parts; ++i) all.largest = fmaxf(all.largest, part(i)[0]);
  for (int i = 0; i < parts; ++i) {
    const float* const one = part(i);
    const float weight = weight_of(one[0], all.largest);
    all.sum += one[1] * weight;
    all.value += one[2 + dim] * weight;
  }
  return all;
}

// Grid: [splits, kv heads and parts of their query heads, singles].
// The bound of one block lets ptxas take the registers that it needs.
template <int kDim>
__global__ void __launch_bounds__(DecodeAttention<kDim>::kThreads, 1)
    decode_attention(const BFloat16* query, std::int64_t query_stride, DeviceAttention attention,
                     DeviceBatch batch, CacheLayer<BFloat16> cache, SplitScratch scratch,
                     BFloat16* out, std::int64_t out_stride) {
  using Attention = DecodeAttention<kDim>;
  using Part = typename Attention::Part;
  constexpr int kThreads = Attention::kThreads;
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<typename Attention::Shared>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int row = batch.singles[blockIdx.z];
  if (row < 0 || batch.places[row].position < 0) return;
  const RowPlace place = batch.places[row];
  const int tokens = place.position + 1;
  const int split = static_cast<int>(blockIdx.x);
  const int splits = (tokens + kPage - 1) / kPage;
  if (split >= splits) return;

  const int group = attention.heads / attention.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.y) % attention.kv_heads;
  const int first_head = static_cast<int>(blockIdx.y) / attention.kv_heads * kHeadRows;
  const int rows = min(kHeadRows, group - first_head);
  const int head = kv_head * group + first_head;
  const int warp = static_cast<int>(warp_id());

  Attention one(query + row * query_stride + head * kDim, rows);
  const std::int64_t page = batch.pages[place.first_page + split];
  one.add(cache.data + (page * cache.kv_heads + kv_head) * 2 * kPage * kDim, split * kPage, tokens);
  one.write(shared.parts[warp]);
  __syncthreads();

  BFloat16* const to = out + row * out_stride + head * kDim;
  const auto part_of = [&](int of_split, int r) {
    constexpr std::int64_t kFloats = sizeof(Part) / sizeof(float);
    return scratch.parts +
           ((std::int64_t{blockIdx.z} * gridDim.x + of_split) * attention.heads + head + r) *
               kFloats;
  };
  for (int i = static_cast<int>(threadIdx.x); i < rows * kDim; i += kThreads) {
    const int r = i / kDim;
    const int dim = i % kDim;
    const Combined all = combine(Attention::kWarps, dim, [&](int w) { return shared.parts[w][r]; });
    if (splits == 1) {
      to[i] = from_float<BFloat16>(all.value / all.sum);
    } else {
      float* const part = part_of(split, r);
      part[2 + dim] = all.value;
      if (dim == 0) {
        part[0] = all.largest;
        part[1] = all.sum;
      }
    }
  }
  if (splits == 1) return;

  __threadfence();
  __syncthreads();  // all of the block's results are complete
  if (threadIdx.x == 0) {
    unsigned* const counter = scratch.counters + blockIdx.z * gridDim.y + blockIdx.y;
    shared.last = atomicAdd(counter, 1U) + 1 == static_cast<unsigned>(splits);
    if (shared.last) atomicExch(counter, 0U);
  }
  __syncthreads();
  if (!shared.last) return;
  __threadfence();
  for (int i = static_cast<int>(threadIdx.x); i < rows * kDim; i += kThreads) {
    const Combined all =
        combine(splits, i % kDim, [&](int of_split) { return part_of(of_split, i / kDim); });
    to[i] = from_float<BFloat16>(all.value / all.sum);
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
