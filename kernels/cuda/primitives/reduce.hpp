// Sums and maxima over a warp and a block. The device's and the emulator's form add in the same
// order, by halves, so that their results have the same bits; in the emulator the lanes meet once
// and not five times.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

// Over every kWidth neighbouring lanes (a power of two); all of them get it. All 32 lanes must
// call.
template <class Operation, int kWidth = 32, class T>
__device__ inline T warp_reduce(T value, [[maybe_unused]] Where where = Where::current()) {
  static_assert(kWidth >= 1 && kWidth <= 32 && (kWidth & (kWidth - 1)) == 0);
#ifdef __CUDACC__
  for (int step = kWidth / 2; step > 0; step /= 2) {
    value = Operation{}(value, __shfl_xor_sync(kAllLanes, value, step));
  }
#else
  const auto reduce = [](const emulator::Lanes& lanes) {
    T values[32];
    T next[32];
    for (int i = 0; i < 32; ++i) {
      std::memset(&values[i], 0xFF, sizeof(T));
      if (lanes.arguments[i] != nullptr) values[i] = *static_cast<const T*>(lanes.arguments[i]);
    }
    for (int step = kWidth / 2; step > 0; step /= 2) {
      for (int i = 0; i < 32; ++i) next[i] = Operation{}(values[i], values[i ^ step]);
      std::memcpy(values, next, sizeof(values));
    }
    for (int i = 0; i < 32; ++i) {
      if (lanes.arguments[i] != nullptr) *static_cast<T*>(lanes.arguments[i]) = values[i];
    }
  };
  emulator::Block::current().meet(kAllLanes, {"warp_reduce", where}, reduce, &value);
#endif
  return value;
}

template <int kWidth = 32, class T>
__device__ inline T warp_sum(T value, Where where = Where::current()) {
  return warp_reduce<Sum, kWidth>(value, where);
}
template <int kWidth = 32, class T>
__device__ inline T warp_max(T value, Where where = Where::current()) {
  return warp_reduce<Max, kWidth>(value, where);
}

// Over the kThreads of a block, a multiple of 32; all of them get it. `scratch` is shared and free
// again when the function returns.
template <class Operation, int kThreads, class T>
__device__ inline T block_reduce(T value, T (&scratch)[kThreads / 32],
                                 Where where = Where::current()) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  value = warp_reduce<Operation>(value, where);
  if constexpr (kThreads == 32) return value;
  if (lane_id() == 0) scratch[warp_id()] = value;
  __syncthreads();
  value = scratch[0];
  for (int i = 1; i < kThreads / 32; ++i) value = Operation{}(value, scratch[i]);
  __syncthreads();
  return value;
}

template <int kThreads, class T>
__device__ inline T block_sum(T value, T (&scratch)[kThreads / 32],
                              Where where = Where::current()) {
  return block_reduce<Sum, kThreads>(value, scratch, where);
}
template <int kThreads, class T>
__device__ inline T block_max(T value, T (&scratch)[kThreads / 32],
                              Where where = Where::current()) {
  return block_reduce<Max, kThreads>(value, scratch, where);
}

}  // namespace fvlm::FVLM_CUDA_TARGET
