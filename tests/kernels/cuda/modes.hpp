// What tests of kernels run on: in the emulator and, in a program built with nvcc, on a device,
// where they skip if there is none. bench/gpu_check builds them for a device alone.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/target.hpp"

namespace fvlm {

// A target and the type of activations.
template <Target target, class Activation>
struct CudaMode {
  static constexpr Target kTarget = target;
  using E = Activation;
};
template <Target target>
using Float32Mode = CudaMode<target, float>;
template <Target target>
using BFloat16Mode = CudaMode<target, BFloat16>;

// testing::Types of these templates for every target.
#if defined(FVLM_HAS_CUDA) && defined(FVLM_HAS_EMULATOR)
template <template <Target> class... Of>
using ForTargets = testing::Types<Of<Target::kEmulated>..., Of<Target::kDevice>...>;
#elif defined(FVLM_HAS_CUDA)
template <template <Target> class... Of>
using ForTargets = testing::Types<Of<Target::kDevice>...>;
#else
template <template <Target> class... Of>
using ForTargets = testing::Types<Of<Target::kEmulated>...>;
#endif
using CudaModes = ForTargets<Float32Mode, BFloat16Mode>;

// For tests to which activations do not matter.
template <Target target>
using OnTarget = std::integral_constant<Target, target>;
using CudaTargets = ForTargets<OnTarget>;
struct CudaTargetName {
  template <class T>
  static std::string GetName(int) {
    return T::value == Target::kDevice ? "device" : "emulated";
  }
};

struct CudaModeName {
  template <class Mode>
  static std::string GetName(int) {
    return std::string(Mode::kTarget == Target::kDevice ? "device" : "emulated") +
           (sizeof(typename Mode::E) == 2 ? "_bf16" : "_f32");
  }
};

// Vectors that a device reads and writes where they are: pinned host memory has one address for
// both. What the host reads, it reads after a synchronize().
template <Target target, class E>
struct PinnedAllocator {
  using value_type = E;

  PinnedAllocator() = default;
  template <class U>
  PinnedAllocator(const PinnedAllocator<target, U>&) {}  // NOLINT: as allocators convert
  template <class U>
  struct rebind {
    using other = PinnedAllocator<target, U>;
  };

  E* allocate(std::size_t count) {
    return static_cast<E*>(PinnedMemory<target>::allocate(count * sizeof(E)));
  }
  void deallocate(E* p, std::size_t) { PinnedMemory<target>::release(p); }
  bool operator==(const PinnedAllocator&) const = default;
};
template <Target target, class E>
using PinnedVector = std::vector<E, PinnedAllocator<target, E>>;

}  // namespace fvlm
