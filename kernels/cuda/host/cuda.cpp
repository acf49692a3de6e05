// The CUDA backend for each target and type of activations.
#include "kernels/cuda/host/cuda.hpp"

#include "kernels/cuda/host/memory-inl.hpp"
#include "kernels/cuda/host/operations-inl.hpp"

namespace fvlm {

#ifndef FVLM_NO_EMULATOR
template class CudaBackend<Target::kEmulated, float>;
template class CudaBackend<Target::kEmulated, BFloat16>;
#endif
#ifdef FVLM_HAS_CUDA
template class CudaBackend<Target::kDevice, float>;
template class CudaBackend<Target::kDevice, BFloat16>;
#endif

}  // namespace fvlm
