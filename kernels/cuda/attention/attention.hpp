// Attention, for host code: of the encoder's positions over each other, and of a batch of tokens
// over the paged KV cache. Contracts are those of Backend; see rowwise.hpp for what all launchers
// guarantee. Activations, caches and scratch memory are 16-byte aligned.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target, class E>
struct ImageAttentionKernels {
  // Head dims 16, 32 and 64.
  static bool supports(std::int64_t head_dim) {
    return head_dim == 16 || head_dim == 32 || head_dim == 64;
  }
  // As Backend::image_attention; rows are 16-byte aligned.
  static void attention(Stream<target>& stream, View<const E> qkv, std::int64_t images,
                        std::int64_t head_dim, View<E> out);
};

// Attention of a batch's queries over the paged KV cache.
template <Target target, class E>
struct AttentionKernels {
  // Float32 has a plain kernel for all sizes up to kPlainHeadDim.
  static constexpr std::int64_t kPlainHeadDim = 256;
  static bool supports(std::int64_t head_dim) {
    if constexpr (sizeof(E) == sizeof(float)) return head_dim <= kPlainHeadDim;
    return head_dim == 16 || head_dim == 32 || head_dim == 64 || head_dim == 128;
  }
  // Bytes of scratch memory for a batch of up to `rows` rows that attend to up to `tokens`; it must
  // hold zeros when it is used first.
  static std::int64_t scratch_bytes(const DeviceAttention& attention, std::int64_t rows,
                                    std::int64_t tokens);
  static void attention(Stream<target>& stream, View<const E> query,
                        const DeviceAttention& attention, const DeviceBatch& batch,
                        const CacheLayer<E>& cache, std::byte* scratch, View<E> out);
};

}  // namespace fvlm
