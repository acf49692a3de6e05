// Vectors of adjacent elements in registers, moved by one access of 4, 8 or 16 bytes.
//
// A device faults at a misaligned address without saying where; in the emulator it is an Error with
// the kernel, block, thread and line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cuda/primitives/portable.hpp"

#ifndef __CUDACC__
#include <fmt/format.h>
#endif

namespace fvlm::FVLM_CUDA_TARGET {

template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  static_assert(sizeof(T) * N == 4 || sizeof(T) * N == 8 || sizeof(T) * N == 16);
  static constexpr int kSize = N;

  T data[N];

  __device__ T& operator[](int i) { return data[i]; }
  __device__ const T& operator[](int i) const { return data[i]; }
};

template <class T>
using Vec16 = Vec<T, static_cast<int>(16 / sizeof(T))>;

namespace detail {

// An access of `bytes`, a power of two, as the emulator sees it.
__device__ inline void count_access([[maybe_unused]] const void* p, [[maybe_unused]] bool loads,
                                    [[maybe_unused]] std::size_t bytes,
                                    [[maybe_unused]] Where where) {
#ifndef __CUDACC__
  emulator::Block::current().trace(where, loads, p, static_cast<unsigned>(bytes));
#endif
}

__device__ inline void check_aligned([[maybe_unused]] const void* p,
                                     [[maybe_unused]] std::size_t bytes,
                                     [[maybe_unused]] const char* function,
                                     [[maybe_unused]] Where where) {
#ifndef __CUDACC__
  if (reinterpret_cast<std::uintptr_t>(p) % bytes == 0) return;
  emulator::Block::current().fail({function, where},
                                  fmt::format("address {} is no multiple of {} bytes", p, bytes));
#endif
}

}  // namespace detail

// N elements from a multiple of their size together.
template <int N, class T>
__device__ inline Vec<std::remove_const_t<T>, N> load(T* p, Where where = Where::current()) {
  using Result = Vec<std::remove_const_t<T>, N>;
  detail::check_aligned(p, sizeof(Result), "load", where);
  detail::count_access(p, true, sizeof(Result), where);
  Result v;
#ifdef __CUDACC__
  v = *reinterpret_cast<const Result*>(p);
#else
  std::memcpy(&v, p, sizeof(v));
#endif
  return v;
}

template <class T, int N>
__device__ inline void store(T* p, const Vec<T, N>& v, Where where = Where::current()) {
  detail::check_aligned(p, sizeof(v), "store", where);
  detail::count_access(p, false, sizeof(v), where);
#ifdef __CUDACC__
  *reinterpret_cast<Vec<T, N>*>(p) = v;
#else
  emulator::Block::current().note_store(p, sizeof(v));
  std::memcpy(p, &v, sizeof(v));
#endif
}

template <class T>
__device__ inline Vec16<std::remove_const_t<T>> load16(T* p, Where where = Where::current()) {
  return load<static_cast<int>(16 / sizeof(T))>(p, where);
}
template <class T>
__device__ inline void store16(T* p, const Vec16<T>& v, Where where = Where::current()) {
  store(p, v, where);
}

// load16 of global memory that the kernel reads once and that is constant meanwhile, such as
// weights: not cached in L1.
template <class T>
__device__ inline Vec16<T> load16_once(const T* p, Where where = Where::current()) {
#ifdef __CUDACC__
  Vec16<T> v;
  auto* const words = reinterpret_cast<std::uint32_t*>(&v);
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "l"(p));
  return v;
#else
  return load16(p, where);
#endif
}

}  // namespace fvlm::FVLM_CUDA_TARGET
