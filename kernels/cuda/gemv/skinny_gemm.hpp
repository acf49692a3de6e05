// Skinny GEMM: the tokens of a decode step, up to 64, times a weight matrix, bandwidth-bound: each
// weight is read once, from global memory into the registers from which tensor cores multiply it.
//
// mma.m16n8k16 multiplies 16 tokens (A) with 8 outputs (B). In a step a lane loads 16 bytes of a
// row of W: for bfloat16 eight consecutive inputs, for integers the same of each slice of a block
// (weight_format.hpp). It takes the same inputs of its tokens, and hands both to two mma's of 16
// inputs each: which inputs these are is a permutation, and the same one for both operands. So no
// weight passes through shared memory. Integers are exact in bfloat16 and the sums of each group of
// inputs are scaled in float32.
//
// How the work is divided is in skinny_plan.hpp, how sums meet in skinny_sums.hpp.
//
// The first weights are requested before the kernel waits for the previous one. With a norm, a
// block then normalises its tokens, up to eight, into shared memory; more are normalised by a
// kernel of their own, to the same bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/gemv/skinny_plan.hpp"
#include "kernels/cuda/gemv/skinny_sums.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/rms_norm.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <WeightType kType, int kGroup, int kRows, int kTiles, bool kNorm>
class SkinnyGemm {
  using W = Weights<kType>;
  using Shape = SkinnyShape<kType, kGroup, kRows, kTiles>;
  static constexpr int kSlice = WeightFormat::kSlice;
  static constexpr int kTokenTiles = Shape::kTokenTiles;
  // A tile of 16 tokens of which the second eight do not exist is half a tile.
  static constexpr int kHalves = kRows == 8 ? 1 : 2;

 public:
  __device__ SkinnyGemm(const TokenInput<BFloat16>& in, const TokenOutput<BFloat16>& out,
                        const SkinnyPlan& plan, float* shared, bool& last)
      : in_(in),
        out_(out),
        plan_(plan),
        sums_(out, plan, in.rows, shared, last),
        parts_(shared + Shape::sum_floats(plan)),
        segment_(static_cast<int>(warp_id()) % plan.block_segments),
        group_(static_cast<int>(warp_id()) / plan.block_segments),
        column_(static_cast<int>(lane_id()) / 4),
        vector_(static_cast<int>(lane_id()) % 4),
        first_pair_((static_cast<int>(blockIdx.x) * plan.groups + group_) * kPairs) {
    const int steps = (in.weights.row_bytes + Shape::kStepBytes - 1) / Shape::kStepBytes;
    const int segment = static_cast<int>(blockIdx.y) * plan.block_segments + segment_;
    step_ = segment * steps / plan.segments;
    const int end = (segment + 1) * steps / plan.segments;
    end_vector_ = min(end * kStepVectors, in.weights.row_bytes / 16);
    end_input_ = min(end * kStepInputs, in.weights.in);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const std::int64_t output = output_of(j);
      rows_[j] = reinterpret_cast<const std::uint32_t*>(
          in.weights.weight + output * in.weights.row_bytes + vector_ * 16);
      if constexpr (W::kQuantised) {
        scales_[j] = static_cast<int>(output) * (steps * kStepInputs / kGroup);
      }
    }
  }

  __device__ void run() {
    Step ahead[Shape::kAhead];
#pragma unroll
    for (int i = 0; i < Shape::kAhead; ++i) fetch(step_ + i, ahead[i]);
    wait_for_previous_kernel();
    allow_next_kernel();
    if constexpr (kNorm) normalise();
    while (is_inside(step_)) {
#pragma unroll
      for (int i = 0; i < Shape::kAhead; ++i) {
        if (is_inside(step_ + i)) multiply(step_ + i, ahead[i]);
        fetch(step_ + i + Shape::kAhead, ahead[i]);
      }
      step_ += Shape::kAhead;
    }
    hand_over();
    __syncthreads();
    sums_.finish();
  }

 private:
  static constexpr int kStepVectors = Shape::kStepBytes / 16;
  static constexpr int kStepInputs = W::kRuns * kSlice;
  static constexpr int kTilePairs = Shape::kTilePairs;
  static constexpr int kPairs = Shape::kPairs;
  // Slices that share a scale, of a step; and a step's scales.
  static constexpr int kScaleSlices =
      W::kQuantised ? std::min(kGroup / kSlice, W::kRuns) : W::kRuns;
  static constexpr int kScales = W::kRuns / kScaleSlices;

  // Of the lane's output in each tile.
  struct Step {
    WeightWords words[kTiles];
    BFloat16 scales[kTiles][kScales];
  };

  // Whether it is a step of the warp's segment.
  __device__ bool is_inside(int step) const {
    return step * kStepVectors < end_vector_;
  }

  // The output of the lane's column of tile j; any where there is none, whose sum nobody takes.
  __device__ int output_of(int j) const {
    const int p = first_pair_ + j * kTilePairs + column_ / 2;
    const OutputPair pair = out_.pair(min(p, out_.pairs() - 1));
    return min(column_ % 2 == 0 ? pair.first : pair.second, out_.outputs - 1);
  }

  __device__ void fetch(int step, Step& to) const {
    const bool inside = step * kStepVectors + vector_ < end_vector_;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      to.words[j] = {};
      if (inside) to.words[j] = load16_once(rows_[j] + step * (Shape::kStepBytes / 4));
      if constexpr (W::kQuantised) {
#pragma unroll
        for (int i = 0; i < kScales; ++i) {
          if (inside)
            to.scales[j][i] = in_.weights.scales[scales_[j] + step * kStepInputs / kGroup + i];
        }
      }
    }
  }

  // Adds a step's products.
  __device__ void multiply(int step, const Step& weights) {
    FragmentC products[kTiles][kTokenTiles];  // of a group of quantised weights
#pragma unroll
    for (int n = 0; n < W::kRuns; ++n) {
      FragmentA<BFloat16> x[kTokenTiles][2];
      load_tokens((step * W::kRuns + n) * kSlice + vector_ * 8, x);
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        FragmentB<BFloat16> w[2];
        load_weights(weights.words[j], n, w);
#pragma unroll
        for (int m = 0; m < kTokenTiles; ++m) {
          FragmentC& sum = W::kQuantised ? products[j][m] : totals_[j][m];
          if (W::kQuantised && n % kScaleSlices == 0) {
            first_mma(sum, x[m][0], w[0]);
          } else {
            mma(sum, x[m][0], w[0]);
          }
          mma(sum, x[m][1], w[1]);
        }
        if (W::kQuantised && (n + 1) % kScaleSlices == 0) {
          add_scaled(weights.scales[j][n / kScaleSlices], products[j], totals_[j]);
        }
      }
    }
  }

  // Adds the products of a group times its scale, which the lane has of its own output, to the
  // sums.
  __device__ static void add_scaled(BFloat16 scale, const FragmentC (&products)[kTokenTiles],
                                    FragmentC (&totals)[kTokenTiles]) {
    const float own = to_float(scale);
    const float scales[2] = {__shfl_sync(kAllLanes, own, FragmentC::col(0) * 4),
                             __shfl_sync(kAllLanes, own, FragmentC::col(1) * 4)};
#pragma unroll
    for (int m = 0; m < kTokenTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 2 * kHalves; ++i) {
        totals[m].reg[i] = multiply_add(products[m].reg[i], scales[i % 2], totals[m].reg[i]);
      }
    }
  }

  // Puts the normalised tokens into shared memory.
  __device__ void normalise() {
    static_assert(!kNorm || kRows == NormedTokens::kRows);
    const int channels = in_.weights.in;
    const int warps = plan_.block_warps();
    for (int i = static_cast<int>(warp_id()); i < in_.rows * kNormParts; i += warps) {
      const BFloat16* const row = in_.x + i / kNormParts * in_.stride;
      const float part = norm_part(row, channels, true, i % kNormParts);
      if (lane_id() == 0) parts_[i] = part;
    }
    __syncthreads();
    for (int row = 0; row < in_.rows; ++row) {
      const float scale = norm_scale(parts_ + row * kNormParts, channels, in_.norm.eps);
      BFloat16* const to = normed() + row * NormedTokens::stride(channels);
      for (int c = kNormVector * static_cast<int>(threadIdx.x); c < channels;
           c += warps * kNormStep) {
        float values[kNormVector];
        load_normalised(in_.x + row * in_.stride, c, channels, true, scale, in_.norm.weight,
                        values);
        store8(to + c, true, channels - c, values);
      }
    }
    __syncthreads();
  }
  __device__ BFloat16* normed() const {
    return reinterpret_cast<BFloat16*>(parts_ + NormedTokens::kRows * kNormParts);
  }

  // The lane's eight inputs of each of its tokens, as two fragments.
  __device__ void load_tokens(int input, FragmentA<BFloat16> (&x)[kTokenTiles][2]) const {
    const BFloat16* const tokens = kNorm ? normed() : in_.x;
    const std::int64_t stride = kNorm ? NormedTokens::stride(in_.weights.in) : in_.stride;
#pragma unroll
    for (int m = 0; m < kTokenTiles; ++m) {
      x[m][0] = x[m][1] = {};
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        const int row = m * 16 + half * 8 + column_;
        WeightWords words = {};
        if (input < end_input_ && row < in_.rows) {
          words = load16(reinterpret_cast<const std::uint32_t*>(tokens + row * stride + input));
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) x[m][i / 2].reg[i % 2 * 2 + half] = words[i];
      }
    }
  }

  __device__ static void load_weights(const WeightWords& words, int n,
                                      FragmentB<BFloat16> (&w)[2]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (W::kQuantised) {
        w[i / 2].reg[i % 2] = W::integer_pair(words[i], n);
      } else {
        w[i / 2].reg[i % 2] = words[i];
      }
    }
  }

  // Puts the warp's sums into shared memory.
  __device__ void hand_over() {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int m = 0; m < kTokenTiles; ++m) {
#pragma unroll
        for (int half = 0; half < kHalves; ++half) {
          const float* const two = totals_[j][m].reg + 2 * half;
          store(sums_.at(segment_, group_, j, m * 16 + half * 8 + column_) + FragmentC::col(0),
                Vec<float, 2>{{two[0], two[1]}});
        }
      }
    }
  }
  const TokenInput<BFloat16>& in_;
  const TokenOutput<BFloat16>& out_;
  const SkinnyPlan& plan_;
  const SkinnySums<Shape> sums_;
  float* const parts_;  // of the norms
  const int segment_;   // of the block's
  const int group_;
  const int column_;  // of a tile: which of its outputs, and of its tokens' halves, the lane loads
  const int vector_;  // of a step
  const int first_pair_;
  int step_;
  int end_vector_;
  int end_input_;
  const std::uint32_t* rows_[kTiles];  // of the lane's outputs, at its vector
  int scales_[kTiles];                 // where those of the lane's outputs begin
  FragmentC totals_[kTiles][kTokenTiles] = {};
};

template <WeightType kType, int kGroup, int kRows, int kTiles, bool kNorm>
__global__ void __launch_bounds__(32 * SkinnyShape<kType, kGroup, kRows, kTiles>::kMostWarps,
                                  SkinnyShape<kType, kGroup, kRows, kTiles>::kBlocks)
    skinny_gemm(TokenInput<BFloat16> input, TokenOutput<BFloat16> output, SkinnyPlan plan) {
  check_launch_bounds<32 * SkinnyShape<kType, kGroup, kRows, kTiles>::kMostWarps>();
  SkinnyGemm<kType, kGroup, kRows, kTiles, kNorm>(input, output, plan, dynamic_shared<float>(),
                                                  static_shared<bool>())
      .run();
}

template <WeightType kType, int kGroup, int kRows, int kTiles, bool kNorm>
void launch_skinny(Stream<kTarget>& stream, const TokenInput<BFloat16>& input,
                   const TokenOutput<BFloat16>& output, const SplitSums& split) {
  using Shape = SkinnyShape<kType, kGroup, kRows, kTiles>;
  const int segments = skinny_segments(input.weights.out, input.weights.row_bytes);
  SkinnyPlan plan{.segments = segments, .block_segments = segments, .split = split};
  if (Shape::kSplits) plan.block_segments = std::min(segments, SkinnyPlan::kPartSegments);
  plan.groups = Shape::kMostWarps / plan.block_segments;
  const std::int64_t outputs = Shape::block_outputs(plan);
  launch<skinny_gemm<kType, kGroup, kRows, kTiles, kNorm>>(
      Launch{.grid = {(2 * output.pairs() + outputs - 1) / outputs, plan.splits()},
             .block = 32 * plan.block_warps(),
             .shared_bytes = static_cast<std::size_t>(
                 Shape::sum_floats(plan) * static_cast<int>(sizeof(float)) +
                 (kNorm ? NormedTokens::bytes(input.weights.in) : 0)),
             .stream = stream,
             .overlap_previous = true},
      input, output, plan);
}

}  // namespace fvlm::FVLM_CUDA_TARGET
