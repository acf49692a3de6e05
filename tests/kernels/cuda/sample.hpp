// Small kernels that use each part of the portability layer once, for both targets: see
// sample_test.cpp.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target>
struct SampleKernels {
  // out[i] += in[i], for any count and 16-byte aligned memory.
  static void add(Stream<target>& stream, const float* in, float* out, std::int64_t count);
  // out[r] = sum of row r.
  static void row_sums(Stream<target>& stream, View<const float> in, float* out);
  // out[i] = sum of in[j] with j <= i, and its number of set bits, over the 32 lanes of each warp.
  static void scan(Stream<target>& stream, const int* in, int* out, unsigned* odd,
                   std::int64_t count);
};

template <Target target, class E>
struct SampleProduct {
  // out = a b^T through tensor cores: a [m, k], b [n, k], E is BFloat16 or Float16.
  static void multiply(Stream<target>& stream, View<const E> a, View<const E> b, View<E> out);
};

}  // namespace fvlm
