// How the sums of a skinny GEMM's warps meet (skinny_gemm.hpp): in shared memory those of a block;
// where each part of the depth has a block of its own, in scratch memory, where the last block of
// those with the same outputs adds those of all. Always in the same order.
#pragma once

#include <cstdint>

#include "kernels/cuda/gemv/skinny_plan.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template <class Shape>
class SkinnySums {
 public:
  // `shared` has Shape::sum_floats(); `last` is shared, too.
  __device__ SkinnySums(const TokenOutput<BFloat16>& out, const SkinnyPlan& plan, int rows,
                        float* shared, bool& last)
      : out_(out), plan_(plan), rows_(rows), sums_(shared), last_(last) {}

  // Eight sums of a token, where a warp leaves them.
  __device__ float* at(int segment, int group, int j, int row) const {
    const int warp = group * plan_.block_segments + segment;
    return sums_ + warp * Shape::kWarpFloats + (j * Shape::kTokens + row) * Shape::kOutputs;
  }

  // Hands all sums to the epilogue, once each warp has left its own.
  __device__ void finish() const {
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
    for (int i = static_cast<int>(threadIdx.x); i < plan_.groups * Shape::kPairs * rows_;
         i += 32 * plan_.block_warps()) {
      const int group = i / Shape::kPairs % plan_.groups;
      const int p =
          (static_cast<int>(blockIdx.x) * plan_.groups + group) * Shape::kPairs + i % Shape::kPairs;
      if (p < out_.pairs()) work(i, i / Shape::kPairs / plan_.groups, p);
    }
  }

  // Of a pair of the block: the sums of one of the block's parts.
  __device__ Sums part_sums(int i, int part) const {
    const int pair = i % Shape::kPairs;
    const int group = i / Shape::kPairs % plan_.groups;
    const int row = i / Shape::kPairs / plan_.groups;
    const int first = part * SkinnyPlan::kPartSegments;
    Sums all = {};
    for (int s = first; s < min(first + SkinnyPlan::kPartSegments, plan_.block_segments); ++s) {
      const auto two =
          load<2>(at(s, group, pair / Shape::kTilePairs, row) + pair % Shape::kTilePairs * 2);
      add({two[0], two[1]}, all);
    }
    return all;
  }

  // Leaves the block's sums to the last block of those with the same outputs, which adds all.
  __device__ void meet() const {
    float* const of_outputs = plan_.split.sums + std::int64_t{blockIdx.x} * plan_.splits() *
                                                     Shape::block_outputs(plan_) * Shape::kTokens;
    const auto place = [&](int part, int i) {
      return of_outputs + part * Shape::block_outputs(plan_) * Shape::kTokens + 2 * i;
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

  const TokenOutput<BFloat16>& out_;
  const SkinnyPlan& plan_;
  const int rows_;  // tokens
  float* const sums_;
  bool& last_;  // whether the block is the last of its outputs
};

}  // namespace fvlm::FVLM_CUDA_TARGET
