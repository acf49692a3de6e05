// The CUDA backend for each type of activations, on the target that the library is for.
#include "kernels/cuda/host/cuda.hpp"

#include "kernels/cuda/host/memory-inl.hpp"
#include "kernels/cuda/host/operations-inl.hpp"

namespace fvlm {

template class CudaBackend<Target::FVLM_TARGET, float>;
template class CudaBackend<Target::FVLM_TARGET, BFloat16>;

}  // namespace fvlm
