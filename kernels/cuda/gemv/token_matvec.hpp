// GEMV and skinny GEMM: one to eight tokens times a weight matrix, bandwidth-bound: each weight is
// read once.
//
// A warp (or `split` warps, each every split-th step) computes a pair of outputs for all rows. In a
// step it reads kVectors * 512 bytes of either row of W. The loads of the next step are in flight
// meanwhile, across outputs too, and the first ones before the kernel waits for the previous
// kernel. The rows of x are in shared memory, normalised there, in chunks if they are too long.
// Blocks are persistent over several tiles of outputs, so that they load and normalise x seldom.
//
// The order of additions depends on the matrix alone, not on the number of rows, of blocks or of
// chunks: a result has the same bits at any batch size.
#pragma once

#include <cstdint>

#include "kernels/cuda/gemv/fixed_order.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// How the work is divided: token_matvec_launch.hpp.
struct MatVecPlan {
  int split = 1;        // warps that share a pair of outputs
  int chunk_steps = 1;  // steps of all these that x in shared memory lasts for
};

template <WeightType kType>
struct MatVecShape {
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kBlocks = 2;  // at once on an SM, which bounds registers
  // Vectors of 16 bytes that a lane takes of a row at once.
  static constexpr int kVectors = Weights<kType>::kQuantised ? 1 : 2;
  // Inputs of one step.
  static constexpr int kStepInputs = kVectors * 32 * Weights<kType>::kCount;
};

template <class E, WeightType kType, int kRows>
class MatVec {
  using W = Weights<kType>;
  using Shape = MatVecShape<kType>;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr int kWarps = Shape::kWarps;
  static constexpr int kVectors = Shape::kVectors;

 public:
  struct Shared {
    float sums[2][kWarps][kRows][2];  // of alternate tiles
    float scale[kRows];               // of the norm
  };

  __device__ MatVec(const TokenInput<E>& input, const TokenOutput<E>& output,
                    const MatVecPlan& plan, Shared& shared, E* x)
      : in_(input),
        out_(output),
        plan_(plan),
        shared_(shared),
        x_(x),
        vectors_(input.weights.row_bytes / 16),
        steps_((vectors_ + plan.split * kVectors * 32 - 1) / (plan.split * kVectors * 32)),
        part_(static_cast<int>(warp_id()) % plan.split) {}

  __device__ void run() {
    const int tile_pairs = kWarps / plan_.split;
    const int tiles = (out_.pairs() + tile_pairs - 1) / tile_pairs;
    int tile = static_cast<int>(blockIdx.x);
    Step step;
    fetch(tile, 0, step);
    wait_for_previous_kernel();
    allow_next_kernel();
    if (in_.norm.weight != nullptr) prepare_norm();
    const bool whole = steps_ <= plan_.chunk_steps;
    for (int round = 0; tile < tiles; ++round) {
      const int next_tile = tile + static_cast<int>(gridDim.x);
      float sums[2 * kRows] = {};
      for (int s = 0; s < steps_; ++s) {
        if (s % plan_.chunk_steps == 0 && (round == 0 || !whole)) stage(s);
        Step next;
        fetch(s + 1 < steps_ ? tile : next_tile, s + 1 < steps_ ? s + 1 : 0, next);
        multiply(step, s, sums);
        step = next;
      }
      finish(tile * tile_pairs, round % 2, sums);
      tile = next_tile;
    }
  }

 private:
  static constexpr int kScales = W::kQuantised ? W::kRuns : 1;
  struct Step {
    WeightWords words[2][kVectors];
    BFloat16 scales[2][kVectors][kScales];
  };

  __device__ int pair_of(int tile) const {
    return (tile * kWarps + static_cast<int>(warp_id())) / plan_.split;
  }
  // The place of one of a lane's vectors in the row.
  __device__ int vector_of(int s, int v) const {
    return ((s * plan_.split + part_) * kVectors + v) * 32 + static_cast<int>(lane_id());
  }

  __device__ void fetch(int tile, int s, Step& step) const {
    const int pair = pair_of(tile);
    const OutputPair outputs = out_.pair(pair);
#pragma unroll
    for (int o = 0; o < 2; ++o) {
      const int output = o == 0 ? outputs.first : outputs.second;
      const bool there = pair < out_.pairs() && output < out_.outputs;
      const std::byte* const row =
          in_.weights.weight +
          static_cast<std::int64_t>(there ? output : 0) * in_.weights.row_bytes;
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const int vector = vector_of(s, v);
        const bool valid = there && vector < vectors_;
        step.words[o][v] = {};
        if (valid) {
          step.words[o][v] =
              load16_once(reinterpret_cast<const std::uint32_t*>(row) + 4 * std::int64_t{vector});
        }
        if constexpr (W::kQuantised) {
          const int group = in_.weights.format.group;
          const int row_scales = vectors_ * W::kCount / group;
#pragma unroll
          for (int n = 0; n < W::kRuns; ++n) {
            step.scales[o][v][n].bits = 0;
            if (valid) {
              step.scales[o][v][n] =
                  in_.weights
                      .scales[std::int64_t{output} * row_scales + W::input(vector, n) / group];
            }
          }
        }
      }
    }
  }

  // Adds a step's products. Half of the lanes take their runs in the other order, against bank
  // conflicts in shared memory.
  __device__ void multiply(const Step& step, int s, float (&sums)[2 * kRows]) const {
    const int chunk_first = s / plan_.chunk_steps * plan_.chunk_steps * chunk_step_inputs();
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int vector = vector_of(s, v);
#pragma unroll
      for (int run = 0; run < W::kRuns; ++run) {
        const bool other = W::kQuantised && vector / 4 % 2 != 0;
        const int n = other ? run ^ 1 : run;
        float w[2][W::kRun];
        float scale[2];
#pragma unroll
        for (int o = 0; o < 2; ++o) {
          W::unpack(step.words[o][v], n, w[o]);
          if constexpr (W::kQuantised) {
            scale[o] = to_float(other ? step.scales[o][v][run ^ 1] : step.scales[o][v][run]);
          }
        }
        const E* const x = x_ + W::input(vector, n) - chunk_first;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          float values[W::kRun];
          load_floats(x + r * chunk_inputs(), values);
#pragma unroll
          for (int o = 0; o < 2; ++o) {
            float& sum = sums[2 * r + o];
            float part = W::kQuantised ? 0.0F : sum;
#pragma unroll
            for (int i = 0; i < W::kRun; ++i) part = multiply_add(w[o][i], values[i], part);
            sum = W::kQuantised ? multiply_add(part, scale[o], sum) : part;
          }
        }
      }
    }
  }

  // Inputs of one step of all warps that share outputs, and of what is in shared memory at once.
  __device__ int chunk_step_inputs() const {
    return plan_.split * Shape::kStepInputs;
  }
  __device__ int chunk_inputs() const {
    return plan_.chunk_steps * chunk_step_inputs();
  }

  // The sum of squares of each row, by one warp.
  __device__ void prepare_norm() {
    const int r = static_cast<int>(warp_id());
    if (r < kRows) {
      float sum = 0;
      if (r < in_.rows) {
        const E* const row = in_.x + r * in_.stride;
        const bool vectors = aligned();
        constexpr int kEach = static_cast<int>(16 / sizeof(E));
        const int fast = vectors ? in_.weights.in / kEach * kEach : 0;
        for (int i = static_cast<int>(lane_id()) * kEach; i < fast; i += 32 * kEach) {
          float values[kEach];
          load_floats(row + i, values);
#pragma unroll
          for (int k = 0; k < kEach; ++k) sum = multiply_add(values[k], values[k], sum);
        }
        for (int i = fast + static_cast<int>(lane_id()); i < in_.weights.in; i += 32) {
          const float value = to_float(row[i]);
          sum = multiply_add(value, value, sum);
        }
      }
      sum = warp_sum(sum);
      if (lane_id() == 0) {
        shared_.scale[r] = rsqrtf(sum / static_cast<float>(in_.weights.in) + in_.norm.eps);
      }
    }
  }

  __device__ bool aligned() const {
    return reinterpret_cast<std::uintptr_t>(in_.x) % 16 == 0 && in_.stride * sizeof(E) % 16 == 0;
  }

  // Loads the inputs of step s and of those behind it into shared memory; zeros where there are
  // none.
  __device__ void stage(int s) {
    __syncthreads();  // the norm's scales are there, and all are done with the last chunk
    constexpr int kEach = static_cast<int>(16 / sizeof(E));
    const bool vectors = aligned();
    const int first = s * chunk_step_inputs();
    const int steps = min(plan_.chunk_steps, steps_ - s);
    const int row_vectors = steps * chunk_step_inputs() / kEach;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * row_vectors; i += kThreads) {
      const int r = i / row_vectors;
      const int at = i % row_vectors * kEach;
      const int input = first + at;
      Vec16<E> staged = {};
      if (r < in_.rows) {
        const E* const from = in_.x + r * in_.stride + input;
        if (vectors && input + kEach <= in_.weights.in) {
          staged = load16(from);
        } else {
          for (int k = 0; k < kEach && input + k < in_.weights.in; ++k) staged[k] = from[k];
        }
        if (in_.norm.weight != nullptr) {
#pragma unroll
          for (int k = 0; k < kEach; ++k) {
            if (input + k < in_.weights.in) {
              staged[k] = from_float<E>(to_float(staged[k]) * shared_.scale[r] *
                                        in_.norm.weight[input + k]);
            }
          }
        }
      }
      store16(x_ + r * chunk_inputs() + at, staged);
    }
    __syncthreads();
  }

  // Adds up lanes and warps and writes the outputs of a tile whose first pair is given.
  __device__ void finish(int first_pair, int buffer, float (&sums)[2 * kRows]) {
    auto& all = shared_.sums[buffer];
    constexpr int kLanes = 32 / (2 * kRows);  // that get the same sum
    const int lane = static_cast<int>(lane_id());
    const float sum = warp_sums<2 * kRows>(sums);
    if (lane % kLanes == 0) (&all[warp_id()][0][0])[lane / kLanes] = sum;
    __syncthreads();  // the other buffer has been read, too
    const int i = static_cast<int>(threadIdx.x);
    const int tile_pairs = kWarps / plan_.split;
    const int r = i / tile_pairs;
    const int pair = i % tile_pairs;
    if (r >= in_.rows || first_pair + pair >= out_.pairs()) return;
    float a = 0;
    float b = 0;
    for (int part = 0; part < plan_.split; ++part) {
      a += all[pair * plan_.split + part][r][0];
      b += all[pair * plan_.split + part][r][1];
    }
    out_.write(r, first_pair + pair, a, b);
  }

  const TokenInput<E>& in_;
  const TokenOutput<E>& out_;
  const MatVecPlan& plan_;
  Shared& shared_;
  E* const x_;  // [kRows, chunk_inputs()], in shared memory
  const int vectors_;
  const int steps_;  // of each warp for one pair of outputs
  const int part_;   // of each step that this warp takes
};

template <class E, WeightType kType, int kRows>
__global__ void __launch_bounds__(MatVecShape<kType>::kThreads, MatVecShape<kType>::kBlocks)
    token_matvec(TokenInput<E> input, TokenOutput<E> output, MatVecPlan plan) {
  check_launch_bounds<MatVecShape<kType>::kThreads>();
  using Product = MatVec<E, kType, kRows>;
  Product(input, output, plan, static_shared<typename Product::Shared>(), dynamic_shared<E>())
      .run();
}

}  // namespace fvlm::FVLM_CUDA_TARGET
