// Multiplies a norm into the matrix that reads its rows: W' = W diag(weight), and for a layer norm
// b' = b + W shift, with the sums of the rows of W', which a mean is multiplied by afterwards
// (../gemm/hopper/norm.hpp). Once, when a model is loaded; a block for each row.
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    fold_norm(BFloat16* matrix, std::int64_t stride, int in, const float* weight,
              const float* shift, float* bias, float* row_sums) {
  struct Shared {
    float scratch[kThreads / 32];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  BFloat16* const row = matrix + blockIdx.x * stride;
  float shifted = 0;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < in; i += kThreads) {
    const float w = to_float(row[i]);
    if (shift != nullptr) shifted = multiply_add(w, shift[i], shifted);
    row[i] = from_float<BFloat16>(w * weight[i]);
    sum += to_float(row[i]);
  }
  if (shift == nullptr) return;
  shifted = block_sum<kThreads>(shifted, shared.scratch);
  sum = block_sum<kThreads>(sum, shared.scratch);
  if (threadIdx.x == 0) {
    bias[blockIdx.x] += shifted;
    row_sums[blockIdx.x] = sum;
  }
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t>
void NormFolding<t>::fold(Stream<t>& stream, const float* weight, const float* shift,
                          View<BFloat16> matrix, float* bias, float* row_sums) {
  target::launch<target::fold_norm>(
      target::Launch{.grid = matrix.rows, .block = target::kThreads, .stream = stream}, matrix.data,
      matrix.stride, static_cast<int>(matrix.cols), weight, shift, bias, row_sums);
}

template struct NormFolding<kTarget>;

}  // namespace fvlm
