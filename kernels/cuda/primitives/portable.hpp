// The portability layer of kernels: one source that nvcc compiles for a device and g++ as ordinary
// C++, which the emulator (kernels/emulator) runs, a block's threads as fibers. So tests check
// every barrier, bound and layout without a GPU.
//
// Files, with tests/kernels/cuda/sample.{hpp,cu} as the example to imitate
//   sample.hpp for host code, the launchers: template <Target target, class E> struct NormKernels,
//              each function of which puts kernels on a Stream<target>
//   sample.cu  kernels in namespace fvlm::FVLM_CUDA_TARGET; then their launchers, as templates:
//              template <Target t, class E> void NormKernels<t, E>::rms(Stream<t>& stream, ...)
//              and at the end what of them there is:
//              template struct NormKernels<kTarget, float>;
//   CMake      ../kernels.cmake lists the sources of kernels: for nvcc in ../CMakeLists.txt, and
//              for g++, which compiles a generated file that includes one, in kernels/emulator.
//
// In a kernel
//   threadIdx, __syncthreads(), __shfl_xor_sync(), __ballot_sync(), atomicAdd() ... as ever
//   static_shared<T>(), dynamic_shared<T>()  block.hpp       instead of __shared__
//   check_launch_bounds<256>()               block.hpp       first, with __launch_bounds__(256)
//   load16(), store16(), Vec<T, N>           vec.hpp         16 bytes at once, alignment checked
//   to_float(), from_float<E>(), pack<E>()   number.hpp      16-bit floats
//   copy_async(), copy_async_wait<N>()       async_copy.hpp  cp.async
//   mma(), ldmatrix(), load_a(), load_b()    fragment.hpp    tensor cores
//   copy_box(), store_box(), arrive(), wait()  hopper.hpp    TMA, its barriers
//   multiply_shared(), multiply_registers()  wgmma.hpp       wgmma
//   warp_sum(), block_sum<256>()             reduce.hpp      reductions
// On the host
//   launch<kernel>(Launch{...}, arguments)   launch.hpp
//   Stream, Event, Graph                     stream.hpp
//   DeviceBuffer, PinnedBuffer               memory.hpp
//
// Blocks must not wait for each other, and threads must not spin until another writes: in the
// emulator only the functions above switch threads.
#pragma once

#include "kernels/cuda/primitives/target.hpp"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define FVLM_CUDA_TARGET device
#else
#include "kernels/emulator/names.hpp"
#define FVLM_CUDA_TARGET emulated
#endif

namespace fvlm::FVLM_CUDA_TARGET {

#ifdef __CUDACC__
inline constexpr Target kTarget = Target::kDevice;

// Where something is called; known in emulation only.
struct Where {
  __host__ __device__ static constexpr Where current() { return {}; }
};
#else
inline constexpr Target kTarget = Target::kEmulated;
#endif

inline constexpr unsigned kAllLanes = 0xffffffffU;

// A thread's number in its block, which has one dimension; its warp, and its place there.
__device__ inline unsigned thread_rank() {
  return threadIdx.x;
}
__device__ inline unsigned lane_id() {
  return thread_rank() % 32;
}
__device__ inline unsigned warp_id() {
  return thread_rank() / 32;
}
// What is the same in all lanes, as the compiler learns here: what follows from it, addresses,
// descriptors and phases, it computes once a warp. That is half of the instructions of a GEMM by
// wgmma. All lanes call together.
__device__ inline int uniform(int same) {
  return __shfl_sync(kAllLanes, same, 0);
}
// Of which group of kThreads, whole warps, a thread is.
template <int kThreads>
__device__ inline int group_id() {
  static_assert(kThreads % 32 == 0);
  return uniform(static_cast<int>(thread_rank()) / kThreads);
}

// Overlap of a kernel with the previous one on the stream (programmatic dependent launch,
// Launch::overlap_previous). The first waits until all writes of the previous kernel are visible;
// the second lets the next kernel begin, up to its wait. Neither does anything on devices without
// it; the emulator checks that every thread waits.
__device__ inline void wait_for_previous_kernel() {
#ifndef __CUDACC__
  emulator::Block::current().waited();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ inline void allow_next_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace fvlm::FVLM_CUDA_TARGET
