// The GEMM of product.hpp for few rows with a long depth: the depth is divided into parts
// (depth_parts.hpp), whose sums are added in order. A block multiplies all parts of a tile, or one:
// then the parts' sums meet in scratch memory, where the last warp of those with the same rows adds
// them in the same order. So the bits are the same.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/hopper/norm.hpp"
#include "kernels/cuda/gemm/hopper/stages.hpp"
#include "kernels/cuda/gemm/hopper/store.hpp"
#include "kernels/cuda/gemm/part_sums.hpp"
#include "kernels/cuda/gemm/tile_order.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

using PartsTile = HopperTile<DepthParts::kM, DepthParts::kN, 4, true>;
static_assert(PartsTile::kRowTiles == 1 && kBoxDepth == DepthParts::kStep &&
              DepthParts::kMostSpread * PartsTile::kWarps <= SplitSums::kCounters);

using HopperPartSums = PartSums<1, PartsTile::kN / 8, PartsTile::kWarps>;

// Multiplies the parts of the block's units by a group of threads, `group` of two.
template <class Epilogue>
__device__ inline void multiply_parts(const HopperStages<PartsTile, PlainColumns>& stages,
                                      const DepthInParts& depth, const SplitSums& split, int group,
                                      float* results, const Epilogue& epilogue) {
  const HopperPartSums meeting(split, depth.parts);
  const int row_in_tile = group * PartsTile::kGroupRows;
  const NoNorm no_norm;
  int count = 0;   // steps of the block before
  int stored = 0;  // times 16 rows
  for (auto unit = static_cast<int>(blockIdx.x); unit < depth.units();
       unit += static_cast<int>(gridDim.x)) {
    const int tile = depth.tile_of(unit);
    HopperPartSums::Sums totals = {};
    bool whole = true;
    for (int part = depth.first_part(unit); part < depth.end_part(unit); ++part) {
      HopperPartSums::Sums sums;
      const int steps = depth.step_of(part + 1) - depth.step_of(part);
      for (int step = 0; step < steps; ++step, ++count) {
        stages.wait_for_full(count);
        stages.multiply(count, row_in_tile, step == 0, sums);
      }
      finish_products(sums);
      stages.release(count - 1);
      if (depth.spread) {
        whole = meeting.leave(tile, part, sums);
      } else {
        HopperPartSums::add(totals, sums);
      }
    }
    if (!whole) continue;
    if (depth.spread) meeting.add_all(tile, totals);
    const int row = stages.row_of(tile) + row_in_tile +
                    static_cast<int>(warp_id()) % PartsTile::kGroupWarps * 16;
    store_fragments(totals, reinterpret_cast<std::byte*>(results), stored++, row,
                    stages.column_of(tile), NormOfTile<PartsTile::kM, NoNorm>{no_norm, nullptr, 0},
                    epilogue);
  }
  if (lane_id() == 0) wait_for_stores<0>();
}

template <class Epilogue>
__global__ void __launch_bounds__(PartsTile::kThreads, 1)
    hopper_parts(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                 TileOrder order, DepthInParts depth, SplitSums split,
                 const __grid_constant__ Epilogue epilogue) {
  if constexpr (kHopper) {
    using Stages = HopperStages<PartsTile, PlainColumns>;
    static_assert(suffice_for_three_groups(NoNorm::kRegisters));
    check_launch_bounds<PartsTile::kThreads>();
    auto& barriers = static_shared<typename Stages::Barriers>();
    std::byte* const shared = PartsTile::aligned(dynamic_shared<std::byte>());
    if (threadIdx.x == 0) barriers.init_all(PartsTile::kWarps);
    __syncthreads();
    const Stages stages(shared, barriers, PlainColumns{}, order);
    const int group = group_id<PartsTile::kGroupThreads>();
    if (group == 2) {
      give_registers<NoNorm::kRegisters[1]>();
      if (threadIdx.x % PartsTile::kGroupThreads == 0) {
        stages.copy(a, b, depth);
      } else {
        wait_for_previous_kernel();
      }
    } else {
      take_registers<NoNorm::kRegisters[0]>();
      wait_for_previous_kernel();
      allow_next_kernel();
      multiply_parts(stages, depth, split, group, PartsTile::results(shared), epilogue);
    }
  }
}

}  // namespace fvlm::FVLM_CUDA_TARGET
