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
// The rows of W are divided into segments, each a warp's. Two segments are a part, whose sums are
// added, and then the parts' in order. Both follow from the matrix alone, so that a result has the
// same bits however many tokens there are.
//
// Of up to eight tokens a block has all parts. Of more the tokens are most of what is read, from
// L2: so each part gets a block of its own, with more outputs, whose warps share the tokens of two
// segments. Blocks leave their sums in scratch memory, where the last of them adds those of all.
//
// The first weights are requested before the kernel waits for the previous one. With a norm, a
// block then normalises its tokens, up to eight, into shared memory; more are normalised by a
// kernel of their own, to the same bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/rms_norm.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// How a GEMM is divided among warps and blocks.
struct SkinnyPlan {
  int segments = 1;        // of the depth, each a warp's
  int block_segments = 1;  // of a block: all, or those of a part
  int groups = 1;          // of so many warps in a block; each has tiles of outputs of its own
  SplitSums split{};       // of parts in blocks of their own

  static constexpr int kPartSegments = 2;

  __host__ __device__ constexpr int block_warps() const { return block_segments * groups; }
  __host__ __device__ constexpr int splits() const { return segments / block_segments; }
  __host__ __device__ constexpr int parts_of_block() const {
    return block_segments / kPartSegments > 1 ? block_segments / kPartSegments : 1;
  }
};

// kGroup: WeightFormat::group. kRows: 8, 16, 32 or 64 tokens. kTiles: of eight outputs, of one
// warp.
template <WeightType kType, int kGroup, int kRows, int kTiles>
struct SkinnyShape {
  static constexpr int kOutputs = 8;  // of a tile
  static constexpr int kMostWarps = 8;
  static constexpr int kTokenTiles = kRows <= 16 ? 1 : kRows / 16;
  // Steps whose weights are on their way: 8 vectors of 16 bytes a lane; 4 of quantised weights,
  // with scales beside them, as registers allow.
  static constexpr int kAhead = (Weights<kType>::kQuantised ? 4 : 8) / kTiles;
  // Bytes of a row of W that a warp takes in a step: those of four lanes.
  static constexpr int kStepBytes = 64;
  // Fragments of sums, and of quantised weights of products that are not scaled yet. With few of
  // them in registers the next kernel's blocks fit on an SM beside this one's; not so beside the
  // many scales of int4 in groups of 32.
  static constexpr int kSums = kTokenTiles * kTiles * (Weights<kType>::kQuantised ? 2 : 1);
  static constexpr bool kManyScales = kType == WeightType::kInt4 && kGroup == 32;
  static constexpr int kBlocks = kRows <= 16 || (kSums <= 4 && !kManyScales) ? 2 : 1;
  // Whether a matrix's parts have blocks of their own.
  static constexpr bool kSplits = kRows > 8;

  // Of a warp's sums; four more keep the groups of a part apart in the banks.
  static constexpr int kWarpFloats = kTiles * kRows * kOutputs + 4;

  static constexpr int block_outputs(const SkinnyPlan& plan) {
    return plan.groups * kTiles * kOutputs;
  }
  static constexpr int sum_floats(const SkinnyPlan& plan) {
    return plan.block_warps() * kWarpFloats;
  }
};

// Tokens that a block normalises.
struct NormedTokens {
  static constexpr int kRows = 8;
  static constexpr int kPadding = 32;  // elements between rows, against bank conflicts

  static constexpr int stride(int channels) { return channels + kPadding; }
  // Of the parts of the norms and the rows behind them.
  static constexpr int bytes(int channels) {
    return kRows * (kNormParts * static_cast<int>(sizeof(float)) +
                    stride(channels) * static_cast<int>(sizeof(BFloat16)));
  }
};

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
        sums_(shared),
        parts_(shared + Shape::sum_floats(plan)),
        last_(last),
        segment_(static_cast<int>(warp_id()) % plan.block_segments),
        group_(static_cast<int>(warp_id()) / plan.block_segments),
        column_(static_cast<int>(lane_id()) / 4),
        vector_(static_cast<int>(lane_id()) % 4),
        first_pair_((static_cast<int>(blockIdx.x) * plan.groups + group_) * kPairs) {
    const int steps = (in.weights.row_bytes + Shape::kStepBytes - 1) / Shape::kStepBytes;
    const int segment = static_cast<int>(blockIdx.y) * plan.block_segments + segment_;
    step_ = segment * steps / plan.segments;
    end_ = (segment + 1) * steps / plan.segments;
    end_vector_ = min(end_ * kStepVectors, in.weights.row_bytes / 16);
    end_input_ = min(end_ * kStepInputs, in.weights.in);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const std::int64_t output = output_of(j);
      rows_[j] = reinterpret_cast<const std::uint32_t*>(
          in.weights.weight + output * in.weights.row_bytes + vector_ * 16);
      if constexpr (W::kQuantised) {
        scales_[j] = in.weights.scales + output * (steps * kStepInputs / kGroup);
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
    while (step_ < end_) {
#pragma unroll
      for (int i = 0; i < Shape::kAhead; ++i) {
        if (step_ + i < end_) multiply(step_ + i, ahead[i]);
        fetch(step_ + i + Shape::kAhead, ahead[i]);
      }
      step_ += Shape::kAhead;
    }
    hand_over();
    __syncthreads();
    if constexpr (Shape::kSplits) {
      if (plan_.splits() > 1) return meet();
    }
    each_pair([&](int i, int row, int p) {
      Sums all = {};
      for (int part = 0; part < plan_.parts_of_block(); ++part) add(part_sums(i, part), all);
      out_.write(row, p, all.first, all.second);
    });
  }

 private:
  static constexpr int kStepVectors = Shape::kStepBytes / 16;
  static constexpr int kStepInputs = W::kRuns * kSlice;
  static constexpr int kTilePairs = Shape::kOutputs / 2;
  static constexpr int kPairs = kTiles * kTilePairs;  // of a group
  // Slices that share a scale, of a step; and a step's scales.
  static constexpr int kScaleSlices =
      W::kQuantised ? std::min(kGroup / kSlice, W::kRuns) : W::kRuns;
  static constexpr int kScales = W::kRuns / kScaleSlices;

  // Of the lane's output in each tile.
  struct Step {
    WeightWords words[kTiles];
    BFloat16 scales[kTiles][kScales];
  };

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
          if (inside) to.scales[j][i] = scales_[j][step * kStepInputs / kGroup + i];
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
      const float part = norm_part(in_.x + i / kNormParts * in_.stride, channels, i % kNormParts);
      if (lane_id() == 0) parts_[i] = part;
    }
    __syncthreads();
    for (int row = 0; row < in_.rows; ++row) {
      const float scale = norm_scale(parts_ + row * kNormParts, channels, in_.norm.eps);
      const BFloat16* const from = in_.x + row * in_.stride;
      BFloat16* const to = normed() + row * NormedTokens::stride(channels);
      for (int c = 2 * static_cast<int>(threadIdx.x); c < channels; c += 64 * warps) {
        const Pair x =
            unpack<BFloat16>(load<1>(reinterpret_cast<const std::uint32_t*>(from + c))[0]);
        store(reinterpret_cast<std::uint32_t*>(to + c),
              Vec<std::uint32_t, 1>{
                  {pack<BFloat16>(normalised(x.first, scale, in_.norm.weight[c]),
                                  normalised(x.second, scale, in_.norm.weight[c + 1]))}});
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
          store(sums_of(segment_, group_, j, m * 16 + half * 8 + column_) + FragmentC::col(0),
                Vec<float, 2>{{two[0], two[1]}});
        }
      }
    }
  }
  // Eight sums of a token.
  __device__ float* sums_of(int segment, int group, int j, int row) const {
    const int warp = group * plan_.block_segments + segment;
    return sums_ + warp * Shape::kWarpFloats + (j * kRows + row) * Shape::kOutputs;
  }

  // Of a pair of outputs.
  struct Sums {
    float first;
    float second;
  };
  __device__ static void add(const Sums& more, Sums& to) {
    to.first += more.first;
    to.second += more.second;
  }

  // Calls work(i, row, pair) for the thread's pairs of the block, counted by i.
  template <class Work>
  __device__ void each_pair(const Work& work) const {
    for (int i = static_cast<int>(threadIdx.x); i < plan_.groups * kPairs * in_.rows;
         i += 32 * plan_.block_warps()) {
      const int group = i / kPairs % plan_.groups;
      const int p = (static_cast<int>(blockIdx.x) * plan_.groups + group) * kPairs + i % kPairs;
      if (p < out_.pairs()) work(i, i / kPairs / plan_.groups, p);
    }
  }

  // Of a pair of the block: the sums of one of the block's parts.
  __device__ Sums part_sums(int i, int part) const {
    const int pair = i % kPairs;
    const int group = i / kPairs % plan_.groups;
    const int row = i / kPairs / plan_.groups;
    const int first = part * SkinnyPlan::kPartSegments;
    Sums all = {};
    for (int s = first; s < min(first + SkinnyPlan::kPartSegments, plan_.block_segments); ++s) {
      const auto two = load<2>(sums_of(s, group, pair / kTilePairs, row) + pair % kTilePairs * 2);
      add({two[0], two[1]}, all);
    }
    return all;
  }

  // Leaves the block's sums to the last block of those with the same outputs, which adds all.
  __device__ void meet() {
    float* const of_outputs = plan_.split.sums + std::int64_t{blockIdx.x} * plan_.splits() *
                                                     Shape::block_outputs(plan_) * kRows;
    const auto place = [&](int part, int i) {
      return of_outputs + part * Shape::block_outputs(plan_) * kRows + 2 * i;
    };
    each_pair([&](int i, int, int) {
      const Sums own = part_sums(i, 0);
      store(place(static_cast<int>(blockIdx.y), i), Vec<float, 2>{{own.first, own.second}});
    });
    __threadfence();
    __syncthreads();  // all of the block's sums are there
    if (threadIdx.x == 0) {
      unsigned* const counter = plan_.split.counters + blockIdx.x;
      last_ = atomicAdd(counter, 1U) + 1 == static_cast<unsigned>(plan_.splits());
      if (last_) atomicExch(counter, 0U);
    }
    __syncthreads();
    if (!last_) return;
    __threadfence();
    each_pair([&](int i, int row, int p) {
      Sums all = {};
      for (int part = 0; part < plan_.splits(); ++part) {
        const auto two = load<2>(place(part, i));
        add({two[0], two[1]}, all);
      }
      out_.write(row, p, all.first, all.second);
    });
  }

  const TokenInput<BFloat16>& in_;
  const TokenOutput<BFloat16>& out_;
  const SkinnyPlan& plan_;
  float* const sums_;
  float* const parts_;  // of the norms
  bool& last_;          // whether the block is the last of its outputs; shared
  const int segment_;   // of the block's
  const int group_;
  const int column_;  // of a tile: which of its outputs, and of its tokens' halves, the lane loads
  const int vector_;  // of a step
  const int first_pair_;
  int step_;
  int end_;
  int end_vector_;
  int end_input_;
  const std::uint32_t* rows_[kTiles];  // of the lane's outputs, at its vector
  const BFloat16* scales_[kTiles];
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

// The segments, of the matrix alone: as many warps as a large device runs at once, if there are
// steps for them; a power of two.
inline int skinny_segments(int outputs, int row_bytes) {
  constexpr unsigned kEnoughWarps = 2048;
  constexpr unsigned kMostWarps = SkinnyShape<WeightType::kBF16, 0, 8, 1>::kMostWarps;
  constexpr int kStepBytes = SkinnyShape<WeightType::kBF16, 0, 8, 1>::kStepBytes;
  const auto tiles = static_cast<unsigned>((outputs + 7) / 8);
  const auto steps = static_cast<unsigned>((row_bytes + kStepBytes - 1) / kStepBytes);
  return static_cast<int>(std::min({std::bit_ceil((kEnoughWarps + tiles - 1) / tiles),
                                    std::bit_floor(std::max(steps, 1U)), kMostWarps}));
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
