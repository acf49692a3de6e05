// Results of a GEMM whose rows are outputs and whose columns are tokens (quantised_product.hpp), on
// their way from fragments [outputs, tokens] to rows [tokens, outputs].
//
// Those of real models are rounded and transposed by stmatrix into boxes that the four warps of a
// group share, 32 tokens at a time, and stored by TMA. Others, and those that are scattered, pass
// through rows of float32 of each warp to an epilogue (epilogue.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/epilogue.hpp"
#include "kernels/cuda/gemm/hopper/store.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Of a warp. Their padding keeps stores of fragments and loads of eight adjacent outputs clear of
// bank conflicts.
template <int outputs>
struct TokenRows {
  static constexpr int kTokens = 32;
  static constexpr int kStride = outputs + 4;
  static constexpr int kFloats = kTokens * kStride;
};

// Hands a warp's sums to the epilogue, by way of its own `scratch`: eight adjacent outputs of a
// token at a time, with those of pairs side by side. The first output is `column`, the first token
// `token0` of `tokens`.
template <bool kPairs, int kRowTiles, int kColTiles, class Epilogue>
__device__ inline void finish_token_rows(const FragmentC (&sums)[kRowTiles][kColTiles],
                                         float* scratch, int column, int token0, int tokens,
                                         const Epilogue& epilogue) {
  using Buffer = TokenRows<16 * kRowTiles>;
  constexpr int kPieces = 2 * kRowTiles;  // of eight outputs
  constexpr int kTokensAtOnce = 32 / kPieces;
  const int lane = static_cast<int>(lane_id());
#pragma unroll
  for (int first = 0; first < 8 * kColTiles; first += Buffer::kTokens) {
#pragma unroll
    for (int j = 0; j < Buffer::kTokens / 8; ++j) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        const FragmentC& c = sums[i][first / 8 + j];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          float* const to = scratch + (8 * j + FragmentC::col(r)) * Buffer::kStride + 16 * i;
          if constexpr (kPairs) {
            store(to + 2 * FragmentC::row(r), Vec<float, 2>{{c.reg[r], c.reg[r + 2]}});
          } else {
            store(to + FragmentC::row(r), Vec<float, 1>{{c.reg[r]}});
            store(to + FragmentC::row(r + 2), Vec<float, 1>{{c.reg[r + 2]}});
          }
        }
      }
    }
    __syncwarp();
#pragma unroll
    for (int n = 0; n < Buffer::kTokens; n += kTokensAtOnce) {
      const int in_buffer = n + lane % kTokensAtOnce;
      const int piece = lane / kTokensAtOnce * kEpilogueCols;
      float values[kEpilogueCols];
#pragma unroll
      for (int half = 0; half < kEpilogueCols; half += 4) {
        const auto four = load<4>(scratch + in_buffer * Buffer::kStride + piece + half);
#pragma unroll
        for (int k = 0; k < 4; ++k) values[half + k] = four[k];
      }
      const int token = token0 + first + in_buffer;
      if (token < tokens) epilogue(token, column + piece, values);
    }
    __syncwarp();
  }
}

// Where the four warps of a group meet, by a barrier that nothing else uses.
class GroupMeeting {
 public:
  static constexpr int kThreads = 128;

  explicit __device__ GroupMeeting(SharedBarrier& barrier) : barrier_(barrier) {}

  // Of the group.
  __device__ static int thread() { return static_cast<int>(threadIdx.x) % kThreads; }
  __device__ void meet() {
    __syncwarp();
    if (lane_id() == 0) arrive(barrier_);
    wait(barrier_, times_++ % 2);
  }

 private:
  SharedBarrier& barrier_;
  int times_ = 0;
};

// The boxes of a group of four warps with kRowTiles row tiles of 64 outputs; kPairs as above, whose
// second ones are in the upper halves of fragments.
template <bool kPairs, int kRowTiles>
class TokenBoxes {
  static constexpr int kPieces = (kPairs ? 1 : 2) * kRowTiles;  // of eight results of a warp
  static constexpr int kTokens = 32;
  static constexpr int kBlocks = 4 / kPieces;  // of eight tokens that stmatrix stores at once
  static constexpr int kThreads = GroupMeeting::kThreads;
  static constexpr int kBuffers = 2;
  using Rows = Boxed<kTokens, 4 * 8 * kPieces>;

 public:
  static constexpr int kBytes = kBuffers * Rows::kBytes;

  static TensorMap map(View<BFloat16> out) { return Rows::map(out); }

  __device__ TokenBoxes(std::byte* scratch, GroupMeeting& group)
      : scratch_(scratch), group_(group) {}

  // Stores results from column `col0` and token `token0` on.
  template <int kColTiles, class To>
  __device__ void store(const FragmentC (&sums)[kRowTiles][kColTiles], int token0, int col0,
                        const To& to) {
    if (thread() == 0) wait_for_stores<0>();
    meet();
    const auto buffer_of = [&](int chunk) { return scratch_ + chunk % kBuffers * Rows::kBytes; };
    const auto fetch = [&](int chunk) {
      Rows::template fetch_residual<kThreads>(buffer_of(chunk), thread(), token0 + chunk * kTokens,
                                              col0, to);
    };
    if (to.residual != nullptr) {
#pragma unroll
      for (int chunk = 0; chunk < kBuffers; ++chunk) fetch(chunk);
    }
#pragma unroll
    for (int chunk = 0; chunk < 8 * kColTiles / kTokens; ++chunk) {
      if (token0 + chunk * kTokens >= to.rows) break;
      if (chunk >= kBuffers) {
        if (thread() == 0) wait_for_stores<kBuffers - 1>();
        meet();
        if (to.residual != nullptr) fetch(chunk);
      }
      if (to.residual != nullptr) {
        if (chunk == 0) {
          copy_async_wait<kBuffers - 1>();
        } else {
          copy_async_wait();
        }
        meet();
      }
      float bias[kPieces];
      float more_bias[kPieces];  // of the second ones of pairs
      load_bias(to.bias, col0, to.cols, bias);
      if constexpr (kPairs) {
        load_bias(to.bias == nullptr ? nullptr : to.bias + to.cols, col0, to.cols, more_bias);
      }
#pragma unroll
      for (int block = 0; block < kTokens / 8; block += kBlocks) {
        round_blocks(sums, chunk * kTokens / 8 + block, block, bias, more_bias, buffer_of(chunk),
                     to);
      }
      fence_async_proxy();
      meet();
      if (thread() == 0) Rows::store_all(buffer_of(chunk), token0 + chunk * kTokens, col0, to);
    }
    copy_async_wait();  // also what was fetched for tokens that do not exist
  }

  // Before the group ends.
  __device__ void end() const {
    if (thread() == 0) wait_for_stores<0>();
  }

 private:
  __device__ static int thread() {
    return GroupMeeting::thread();
  }
  // The first of the results that the warp has, in eights. Not kept in registers.
  __device__ static int first_piece() {
    return thread() / 32 * kPieces;
  }
  __device__ void meet() {
    group_.meet();
  }

  // Of the lane's output of each piece.
  __device__ void load_bias(const float* from, int col0, int cols, float (&bias)[kPieces]) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int col = col0 + 8 * (first_piece() + p) + FragmentC::row(0);
      bias[p] = from == nullptr ? 0.0F : from[min(col, cols - 1)];
    }
  }

  // kBlocks times eight tokens, from block `from` of the sums to block `at` of the buffer.
  template <int kColTiles, class To>
  __device__ void round_blocks(const FragmentC (&sums)[kRowTiles][kColTiles], int from, int at,
                               const float (&bias)[kPieces], const float (&more_bias)[kPieces],
                               std::byte* buffer, const To& to) const {
    const int lane = static_cast<int>(lane_id());
    std::byte* const place = buffer + Rows::at(8 * (at + lane / 8 / kPieces) + lane % 8,
                                               first_piece() + lane / 8 % kPieces);
    std::uint32_t residuals[4];
    if (to.residual != nullptr) ldmatrix_transposed(residuals, place);
    std::uint32_t rounded[4];
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int p = q % kPieces;
      const int j = from + q / kPieces;
      float two[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if constexpr (kPairs) {
          const float* const reg = sums[p][j].reg;
          two[i] = To::combined(reg[i] + bias[p], reg[i + 2] + more_bias[p]);
        } else {
          two[i] = To::activated(sums[p / 2][j].reg[p % 2 * 2 + i] + bias[p]);
        }
      }
      if (to.residual != nullptr) {
        const Pair more = unpack<BFloat16>(residuals[q]);
        two[0] += more.first;
        two[1] += more.second;
      }
      rounded[q] = pack<BFloat16>(two[0], two[1]);
    }
    stmatrix_transposed(rounded, place);
  }

  std::byte* scratch_;
  GroupMeeting& group_;
};

}  // namespace fvlm::FVLM_CUDA_TARGET
