// Sums of the parts of a GEMM's depth (depth_parts.hpp), as a warp has them in fragments. Those of
// parts in blocks of their own meet in scratch memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Of tiles with so many adjacent warps of a block. In scratch memory sums are [tiles, parts, warps]
// fragments, as lanes have them.
template <int kRowTiles, int kColTiles, int kWarps>
class PartSums {
 public:
  using Sums = FragmentC[kRowTiles][kColTiles];  // of a warp

  __device__ static void clear(Sums& totals) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kColTiles; ++j) totals[i][j] = {};
    }
  }
  __device__ static void add(Sums& totals, const Sums& sums) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kColTiles; ++j) {
#pragma unroll
        for (int r = 0; r < 4; ++r) totals[i][j].reg[r] += sums[i][j].reg[r];
      }
    }
  }

  __device__ PartSums(const SplitSums& split, int parts) : split_(split), parts_(parts) {}

  // Leaves a warp's sums of a part. Whether all parts of its rows are there now, to be added.
  __device__ bool leave(int tile, int part, const Sums& sums) const {
    put(tile, part, sums);
    __syncwarp();
    unsigned last = 0;
    if (lane_id() == 0) last = count(tile * kWarps + warp()) ? 1 : 0;
    return __shfl_sync(kAllLanes, last, 0) != 0;
  }
  // The same in two steps, for warps that are counted as one: when all have put theirs, one thread
  // counts.
  __device__ void put(int tile, int part, const Sums& sums) const {
    float* const to = place(tile, part);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kColTiles; ++j) {
        const float* const four = sums[i][j].reg;
        store16(to + (i * kColTiles + j) * kFragmentFloats,
                Vec16<float>{{four[0], four[1], four[2], four[3]}});
      }
    }
  }
  __device__ bool count(int counter) const {
    unsigned* const at = split_.counters + counter;
    __threadfence();
    const bool last = atomicAdd(at, 1U) + 1 == static_cast<unsigned>(parts_);
    if (last) atomicExch(at, 0U);
    __threadfence();
    return last;
  }
  // Adds those of all parts in their order.
  __device__ void add_all(int tile, Sums& totals) const {
    for (int part = 0; part < parts_; ++part) {
      const float* const from = place(tile, part);
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int j = 0; j < kColTiles; ++j) {
          const auto four = load16(from + (i * kColTiles + j) * kFragmentFloats);
#pragma unroll
          for (int r = 0; r < 4; ++r) totals[i][j].reg[r] += four[r];
        }
      }
    }
  }

 private:
  static constexpr int kFragmentFloats = 32 * 4;

  __device__ static int warp() {
    return static_cast<int>(warp_id()) % kWarps;
  }
  __device__ float* place(int tile, int part) const {
    const int warps = (tile * parts_ + part) * kWarps + warp();
    return split_.sums + std::int64_t{warps} * kRowTiles * kColTiles * kFragmentFloats +
           4 * static_cast<int>(lane_id());
  }

  const SplitSums& split_;
  int parts_;
};

}  // namespace fvlm::FVLM_CUDA_TARGET
