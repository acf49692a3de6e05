// The encoder's operations that are neither convolutions nor single matrix products; the contracts
// are those of Backend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target>
struct NormKernels {
  template <class E>
  static void layer_norm(Stream<target>& stream, View<const E> in, const float* weight,
                         const float* bias, float eps, View<E> out);
};

template <Target target>
struct ImageAttentionKernels {
  // Head dims 16, 32 and 64.
  static bool supports(std::int64_t head_dim) {
    return head_dim == 16 || head_dim == 32 || head_dim == 64;
  }
  template <class E>
  static void attention(Stream<target>& stream, View<const E> qkv, std::int64_t images,
                        std::int64_t head_dim, View<E> out);
};

// A matrix with its bias as kernels read them.
template <class E>
struct Layer {
  View<const E> weight;         // [out, in]
  const float* bias = nullptr;  // [out], or null
};

template <Target target>
struct SqueezeExciteKernels {
  // mean [batch, channels] and squeezed [batch, reduce.weight.rows] are scratch.
  template <class E>
  static void squeeze_excite(Stream<target>& stream, FeatureMap<const E> in, const Layer<E>& reduce,
                             const Layer<E>& expand, View<float> mean, View<float> squeezed,
                             FeatureMap<E> out);
};

template <Target target>
struct FeedForwardKernels {
  // Whether `feed_forward` takes so many channels on a device with so much shared memory for a
  // block; else it is two products.
  template <class E>
  static bool supports(std::int64_t channels, std::size_t shared_bytes);
  // out = residual + fc2(GELU(fc1(in))): in, residual, out [rows, channels], contiguous.
  template <class E>
  static void feed_forward(Stream<target>& stream, View<const E> in, const Layer<E>& fc1,
                           const Layer<E>& fc2, View<const E> residual, View<E> out);
};

}  // namespace fvlm
