// Launches of token_matvec for one weight format: instantiated in a source of its own for each
// format, because each is dozens of kernels.
#pragma once

#include <algorithm>

#include "kernels/cuda/gemv/token_matvec.hpp"
#include "kernels/cuda/primitives/launch.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Split-K: over how many warps of a block a row of W is split, so that all SMs of a large device
// have work. Depends on the matrix alone.
template <class E, WeightType kType>
int warps_per_output(const DeviceMatrix& weights) {
  constexpr int kEnoughWarps = 2048;
  // Inputs of a step, so that those of eight rows fit into the shared memory of every device.
  constexpr int kMostInputs = 64 * 1024 / (8 * static_cast<int>(sizeof(E)));
  int split = 1;
  while (split < MatVecShape<kType>::kWarps && (weights.out + 1) / 2 * split < kEnoughWarps &&
         2 * split * MatVecShape<kType>::kStepInputs <= kMostInputs &&
         split * MatVecShape<kType>::kStepInputs < weights.in) {
    split *= 2;
  }
  return split;
}

template <class E, WeightType kType, int kRows>
void launch_rows(Stream<kTarget>& stream, const TokenInput<E>& input,
                 const TokenOutput<E>& output) {
  using Shape = MatVecShape<kType>;
  constexpr std::int64_t kMostBytes = 64 * 1024;  // of x in shared memory, if a step needs no more
  constexpr std::int64_t kMostBlocks = 528;       // 4 for each SM of an H100
  MatVecPlan plan{.split = warps_per_output<E, kType>(input.weights)};
  const std::int64_t step_inputs = plan.split * Shape::kStepInputs;
  const std::int64_t step_bytes = kRows * step_inputs * static_cast<std::int64_t>(sizeof(E));
  const std::int64_t row_inputs = input.weights.row_bytes / 16 * Weights<kType>::kCount;
  const std::int64_t steps = (row_inputs + step_inputs - 1) / step_inputs;
  plan.chunk_steps =
      static_cast<int>(std::min(steps, std::max<std::int64_t>(1, kMostBytes / step_bytes)));
  const std::int64_t tile_pairs = Shape::kWarps / plan.split;
  const std::int64_t tiles = (output.pairs() + tile_pairs - 1) / tile_pairs;
  launch<token_matvec<E, kType, kRows>>(
      Launch{.grid = std::min(tiles, kMostBlocks),
             .block = Shape::kThreads,
             .shared_bytes = static_cast<std::size_t>(plan.chunk_steps * step_bytes),
             .stream = stream,
             .overlap_previous = true},
      input, output, plan);
}

template <class E, WeightType kType>
void MatVecKernels<E, kType>::multiply(Stream<kTarget>& stream, const TokenInput<E>& input,
                                       const TokenOutput<E>& output) {
  if (input.rows <= 1) return launch_rows<E, kType, 1>(stream, input, output);
  // Float32 and float16 are for comparison: no tuning.
  constexpr bool kFast = sizeof(E) == 2 && Weights<kType>::kBits < 32 && kType != WeightType::kF16;
  if constexpr (kFast) {
    if (input.rows <= 2) return launch_rows<E, kType, 2>(stream, input, output);
    if (input.rows <= 4) return launch_rows<E, kType, 4>(stream, input, output);
  }
  launch_rows<E, kType, 8>(stream, input, output);
}

}  // namespace fvlm::FVLM_CUDA_TARGET
