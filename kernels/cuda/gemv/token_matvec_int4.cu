// token_matvec with int4 weights.
#include "kernels/cuda/gemv/token_matvec_launch.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

template void launch_matvec<float, WeightType::kInt4>(Stream<kTarget>&, const TokenInput<float>&,
                                                      const TokenOutput<float>&);
template void launch_matvec<BFloat16, WeightType::kInt4>(Stream<kTarget>&,
                                                         const TokenInput<BFloat16>&,
                                                         const TokenOutput<BFloat16>&);

}  // namespace fvlm::FVLM_CUDA_TARGET
