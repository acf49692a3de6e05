// Asynchronous copies from global to shared memory: cp.async.
//   copy_async(to, from); ... copy_async_commit();     a group; several may be under way
//   copy_async_wait<1>();                              all but the last group have arrived
//   __syncthreads();                                   and are visible to the other threads
// The emulator destroys the destination at the start of a copy and writes it at the wait, so that a
// forgotten wait, or a barrier forgotten before the buffer is filled again, gives NaNs.
#pragma once

#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// kBytes (4, 8 or 16, both addresses a multiple) from global `from` to shared `to`; zeros without
// reading `from`, which must still be some valid address, if not `valid`.
template <int kBytes = 16>
__device__ inline void copy_async(void* to, const void* from, bool valid = true,
                                  [[maybe_unused]] Where where = Where::current()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#ifdef __CUDACC__
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = valid ? kBytes : 0;
  if constexpr (kBytes == 16) {  // bypasses L1
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from),
                 "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(from),
                 "n"(kBytes), "r"(bytes)
                 : "memory");
  }
#else
  emulator::Block& block = emulator::Block::current();
  detail::check_aligned(to, kBytes, "copy_async", where);
  if (valid) detail::check_aligned(from, kBytes, "copy_async", where);
  if (!block.shared().contains(to, kBytes)) {
    block.fail({"copy_async", where}, "the destination is not in the block's shared memory");
  }
  if (valid) detail::count_access(from, true, kBytes, where);
  detail::count_access(to, false, kBytes, where);
  block.thread().copies.start(to, valid ? from : nullptr, kBytes);
#endif
}

__device__ inline void copy_async_commit() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::Block::current().thread().copies.commit();
#endif
}

// Waits for all groups of this thread but the last kPending.
template <int kPending = 0>
__device__ inline void copy_async_wait() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#else
  emulator::Block::current().thread().copies.wait(kPending);
#endif
}

}  // namespace fvlm::FVLM_CUDA_TARGET
