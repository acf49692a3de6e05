// The model runner of the CUDA backend on a device, for weights from any source.
#pragma once

#include "kernels/cuda/host/cuda.hpp"
#include "runtime/engine/backend_runner.hpp"

namespace fvlm {

template <class E>
using GpuBackend = CudaBackend<Target::kDevice, E>;
template <class E>
using GpuRunner = BackendRunner<GpuBackend<E>>;

}  // namespace fvlm
