// The names that nvcc has built in, for g++, in the namespace of emulated kernels. Functions that
// synchronise take their call site as a default argument, for messages.
//
// Absent on purpose: __shared__ (static_shared() in block.hpp knows the object, and so can fill and
// guard it) and __activemask() (its result is unspecified).
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/emulator/block.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

namespace fvlm::emulated {

using Where = std::source_location;

inline constexpr int warpSize = 32;

using std::max;
using std::min;

inline void __syncthreads(Where where = Where::current()) {
  emulator::Block::current().barrier({"__syncthreads", where});
}

inline void __syncwarp(unsigned mask = ~0U, Where where = Where::current()) {
  emulator::Block::current().meet(mask, {"__syncwarp", where}, nullptr, nullptr);
}

// Warp shuffles: of any type up to 8 bytes. What comes from a lane that has ended is all ones.
namespace detail {

struct Shuffled {
  std::uint64_t value;
  unsigned source;
  std::uint64_t result;
};

inline void shuffle(const emulator::Lanes& lanes) {
  for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
    auto* const to = static_cast<Shuffled*>(lanes.arguments[lane]);
    if (to == nullptr) continue;
    const auto* const from = static_cast<const Shuffled*>(lanes.arguments[to->source]);
    to->result = from == nullptr ? ~std::uint64_t{0} : from->value;
  }
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source, const emulator::Site& site) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  Shuffled shuffled{.value = 0, .source = source, .result = 0};
  std::memcpy(&shuffled.value, &value, sizeof(T));
  emulator::Block::current().meet(mask, site, &shuffle, &shuffled);
  std::memcpy(&value, &shuffled.result, sizeof(T));
  return value;
}

inline unsigned lane() {
  return emulator::Block::current().thread_rank() % emulator::kWarp;
}

// Adds a predicate to what all lanes learn.
inline unsigned ballot(unsigned mask, bool predicate, const emulator::Site& site) {
  struct Vote {
    bool predicate;
    unsigned result;
  };
  Vote vote{.predicate = predicate, .result = 0};
  const auto count = [](const emulator::Lanes& lanes) {
    unsigned all = 0;
    for (unsigned i = 0; i < emulator::kWarp; ++i) {
      const auto* const one = static_cast<const Vote*>(lanes.arguments[i]);
      if (one != nullptr && one->predicate) all |= 1U << i;
    }
    for (void* const one : lanes.arguments) {
      if (one != nullptr) static_cast<Vote*>(one)->result = all;
    }
  };
  emulator::Block::current().meet(mask, site, count, &vote);
  return vote.result;
}

}  // namespace detail

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, Where where = Where::current()) {
  const unsigned within = static_cast<unsigned>(width) - 1;
  const unsigned from = (detail::lane() & ~within) | (static_cast<unsigned>(source) & within);
  return detail::shuffle(mask, value, from, {"__shfl_sync", where});
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  Where where = Where::current()) {
  const unsigned lane = detail::lane();
  const unsigned from = lane ^ static_cast<unsigned>(lane_mask);
  const bool inside = from <= (lane | (static_cast<unsigned>(width) - 1));
  return detail::shuffle(mask, value, inside ? from : lane, {"__shfl_xor_sync", where});
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 Where where = Where::current()) {
  const unsigned lane = detail::lane();
  const bool inside = (lane & (static_cast<unsigned>(width) - 1)) >= delta;
  return detail::shuffle(mask, value, inside ? lane - delta : lane, {"__shfl_up_sync", where});
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   Where where = Where::current()) {
  const unsigned lane = detail::lane();
  const unsigned within = static_cast<unsigned>(width) - 1;
  const bool inside = (lane & within) + delta <= within;
  return detail::shuffle(mask, value, inside ? lane + delta : lane, {"__shfl_down_sync", where});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return detail::ballot(mask, predicate != 0, {"__ballot_sync", where});
}
inline int __any_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return detail::ballot(mask, predicate != 0, {"__any_sync", where}) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return detail::ballot(mask, predicate == 0, {"__all_sync", where}) == 0 ? 1 : 0;
}

// Atomics. Blocks run on several OS threads, so they are real ones; their order is stronger than a
// device's, and fences have nothing left to do.
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).fetch_add(value);
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).exchange(value);
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  std::atomic_ref<T>(*at).compare_exchange_strong(expected, value);
  return expected;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  T old = std::atomic_ref<T>(*at).load();
  while (old < value && !std::atomic_ref<T>(*at).compare_exchange_weak(old, value)) {
  }
  return old;
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  T old = std::atomic_ref<T>(*at).load();
  while (value < old && !std::atomic_ref<T>(*at).compare_exchange_weak(old, value)) {
  }
  return old;
}

// Bits and arithmetic.
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
template <class T>
T __ldg(const T* p) {
  return *p;
}

}  // namespace fvlm::emulated
