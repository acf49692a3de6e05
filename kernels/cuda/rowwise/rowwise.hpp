// Rowwise kernels, for host code: norms, embeddings, and copies of KV cache pages. As of all
// launchers: each function enqueues work on a stream and returns; nothing is allocated and the host
// does not wait, so CUDA graphs can capture all of it. E is the type of activations, float or
// BFloat16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target, class E>
struct NormKernels {
  static void layer_norm(Stream<target>& stream, View<const E> in, const float* weight,
                         const float* bias, float eps, View<E> out);
};

// Of norms whose output one matrix reads, to the matrix: what they are folded into.
template <Target target>
struct NormFolding {
  // matrix [out, channels] *= weight along its rows. With a shift, of a layer norm: bias [out] +=
  // matrix shift, before that, and row_sums [out], of the new matrix.
  static void fold(Stream<target>& stream, const float* weight, const float* shift,
                   View<BFloat16> matrix, float* bias, float* row_sums);
};

// Rows of W at once.
template <Target target, class E>
struct EmbedKernels {
  // out[i] = row ids[i] of the table; ids is on the device.
  static void embed(Stream<target>& stream, const std::int32_t* ids, const DeviceMatrix& table,
                    View<E> out);
  // out = rms_norm(x).
  static void rms_norm(Stream<target>& stream, View<const E> x, const DeviceNorm& norm,
                       View<E> out);
  // Copies `bytes`, a multiple of 16, in each of `layers` layers, which are layer_bytes apart: a
  // page of the cache.
  static void copy_page(Stream<target>& stream, const std::byte* from, std::byte* to,
                        std::int64_t bytes, std::int64_t layers, std::int64_t layer_bytes);
};

}  // namespace fvlm
