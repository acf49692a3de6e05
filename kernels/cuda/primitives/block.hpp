// What a block shares: its memory, and the number of threads it was made for.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/cuda/primitives/portable.hpp"

#ifndef __CUDACC__
#include <fmt/format.h>
#endif

namespace fvlm::FVLM_CUDA_TARGET {

// The block's one object of type T, which a kernel best defines for itself:
//   struct Shared { float tile[32][33]; float sums[8]; };
//   auto& shared = static_shared<Shared>();
// Not initialised; the emulator fills it with NaNs and guards its end.
template <class T>
__device__ inline T& static_shared([[maybe_unused]] Where where = Where::current()) {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_copyable_v<T>);
  static_assert(sizeof(T) <= 48 * 1024, "more than 48 KB must be dynamic");
#ifdef __CUDACC__
  __shared__ T object;
  return object;
#else
  static constexpr char kKey = 0;
  emulator::Block& block = emulator::Block::current();
  std::byte* const p = block.shared().fixed(&kKey, sizeof(T));
  if (p == nullptr) {
    block.fail({"static_shared", where},
               fmt::format("{} bytes of shared memory beside the {} that are dynamic; a block of "
                           "this launch has {}",
                           sizeof(T), block.shared().dynamic_bytes(), block.shared().limit()));
  }
  return *reinterpret_cast<T*>(p);
#endif
}

// The Launch::shared_bytes of the block, from `offset` bytes on. Aligned to 128 bytes at its
// beginning.
template <class T>
__device__ inline T* dynamic_shared(std::size_t offset = 0) {
#ifdef __CUDACC__
  extern __shared__ __align__(128) unsigned char fvlm_dynamic_shared[];
  return reinterpret_cast<T*>(fvlm_dynamic_shared + offset);
#else
  return reinterpret_cast<T*>(emulator::Block::current().shared().dynamic() + offset);
#endif
}

// Tells the emulator what __launch_bounds__(kThreads) tells nvcc.
template <unsigned kThreads>
__device__ inline void check_launch_bounds([[maybe_unused]] Where where = Where::current()) {
#ifndef __CUDACC__
  const unsigned threads = blockDim.x;
  if (threads > kThreads) {
    emulator::Block::current().fail(
        {"check_launch_bounds", where},
        fmt::format("launched with {} threads, made for {}", threads, kThreads));
  }
#endif
}

}  // namespace fvlm::FVLM_CUDA_TARGET
