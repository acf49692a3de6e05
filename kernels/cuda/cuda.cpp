// The CUDA backend for each target and type of activations.
#include "kernels/cuda/cuda.hpp"

#include "kernels/cuda/cuda_memory-inl.hpp"
#include "kernels/cuda/cuda_operations-inl.hpp"

namespace fvlm {

template class CudaBackend<Target::kEmulated, float>;
template class CudaBackend<Target::kEmulated, BFloat16>;
#ifdef FVLM_HAS_CUDA
template class CudaBackend<Target::kDevice, float>;
template class CudaBackend<Target::kDevice, BFloat16>;
#endif

}  // namespace fvlm
