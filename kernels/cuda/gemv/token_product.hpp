// Operands and epilogues of the decoder's GEMMs. Kernels compute outputs in pairs, so that what an
// epilogue combines is in one thread:
//   kLinear          2 i and 2 i + 1: written side by side
//   kSwiglu          i of gate and i of up: one value is written
//   kAttentionInput  i and i + head_dim / 2 of a head: rotated together (RoPE), q goes out, k and v
//                    into the KV cache
// A kernel asks which outputs pair p is, and hands over their sums for a row.
#pragma once

#include <cstdint>

#include "fvlm/ops/batch.hpp"
#include "kernels/cuda/primitives/activation.hpp"
#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/row_access.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

enum class TokenOutputKind : std::uint8_t { kLinear, kSwiglu, kAttentionInput };

// Outputs of pair p; the second may be at `out`, and is none then.
struct OutputPair {
  int first;
  int second;
};

// Pair p of outputs whose first ones come `half` at a time, before the second ones.
__host__ __device__ inline OutputPair pair_of_halves(int p, int half) {
  const int first = p / half * 2 * half + p % half;
  return {first, first + half};
}

template <class E>
struct TokenOutput {
  static constexpr bool kBoxes = false;  // epilogue.hpp

  TokenOutputKind kind = TokenOutputKind::kLinear;
  int outputs = 0;              // of the matrix
  const float* bias = nullptr;  // [outputs], or null
  E* out = nullptr;             // [rows, ...]: the result, or q
  float* logits = nullptr;      // [rows, ...]: the result in its place
  std::int64_t stride = 0;      // of either
  bool aligned = false;         // 16-byte accesses to rows of either
  bool gelu = false;
  bool accumulate = false;
  // For attention.
  DeviceAttention attention{};
  CacheLayer<E> cache{};
  const RowPlace* places = nullptr;
  const std::int32_t* pages = nullptr;

  __host__ __device__ int pairs() const { return (outputs + 1) / 2; }

  // From the first output of a pair to the second, if not kLinear.
  __host__ __device__ int half() const {
    return kind == TokenOutputKind::kSwiglu ? outputs / 2 : attention.head_dim / 2;
  }
  __device__ OutputPair pair(int p) const {
    if (kind == TokenOutputKind::kLinear) return {2 * p, 2 * p + 1};
    return pair_of_halves(p, half());
  }

  // As the epilogue of a block-tiled GEMM whose columns are the outputs pair by pair: epilogue.hpp.
  __device__ void operator()(int row, int col, float (&values)[8]) const {
    if (kind == TokenOutputKind::kLinear) return write_linear(row, col, values);
    constexpr int kPairs = 4;
    const int p = col / 2;
    if (aligned && p + kPairs <= pairs() && half() % kPairs == 0) {
      float a[kPairs];
      float b[kPairs];
      const auto [first, second] = pair(p);
#pragma unroll
      for (int i = 0; i < kPairs; ++i) {
        a[i] = values[2 * i];
        b[i] = values[2 * i + 1];
      }
      if (bias != nullptr) {
        const auto more_a = load<kPairs>(bias + first);
        const auto more_b = load<kPairs>(bias + second);
#pragma unroll
        for (int i = 0; i < kPairs; ++i) {
          a[i] += more_a[i];
          b[i] += more_b[i];
        }
      }
      write_pairs(row, first, a, b);
    } else {
#pragma unroll
      for (int i = 0; i < kPairs; ++i) {
        if (p + i < pairs()) write(row, p + i, values[2 * i], values[2 * i + 1]);
      }
    }
  }

  // Pair p of a row.
  __device__ void write(int row, int p, float a, float b) const {
    const auto [first, second] = pair(p);
    if (bias != nullptr) {
      a += bias[first];
      if (second < outputs) b += bias[second];
    }
    if (kind == TokenOutputKind::kLinear) {
      write_one(row, first, a);
      if (second < outputs) write_one(row, second, b);
    } else {
      const float one_a[1] = {a};
      const float one_b[1] = {b};
      write_pairs(row, first, one_a, one_b);
    }
  }

 private:
  // Eight adjacent outputs, those of them that exist.
  __device__ void write_linear(int row, int output, float (&values)[8]) const {
    const int count = outputs - output;
    if (count <= 0) return;
    float more[8];
    if (bias != nullptr) {
      load8(bias + output, true, count, more);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] += more[i];
    }
    if (gelu) {
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] = FVLM_CUDA_TARGET::gelu<E>(values[i]);
    }
    const std::int64_t at = row * stride + output;
    if (logits != nullptr) return store8(logits + at, aligned, count, values);
    if (accumulate) {
      load8(out + at, aligned, count, more);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] += more[i];
    }
    store8(out + at, aligned, count, values);
  }

  __device__ void write_one(int row, int output, float value) const {
    if (gelu) value = FVLM_CUDA_TARGET::gelu<E>(value);
    if (logits != nullptr) {
      logits[row * stride + output] = value;
      return;
    }
    E& to = out[row * stride + output];
    to = from_float<E>(accumulate ? value + to_float(to) : value);
  }

  // kCount pairs, biases added, whose first outputs are adjacent, and of one head if there are any.
  template <int kCount>
  __device__ void write_pairs(int row, int first, const float (&a)[kCount],
                              const float (&b)[kCount]) const {
    if (kind == TokenOutputKind::kAttentionInput) return write_heads(row, first, a, b);
    float values[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] = silu(a[i]) * b[i];
    store_all(out + row * stride + first, values);
  }

  // Outputs i, ... and i + head_dim / 2, ... of a head, which is one of q, k or v in this order.
  template <int kCount>
  __device__ void write_heads(int row, int output, const float (&a)[kCount],
                              const float (&b)[kCount]) const {
    const RowPlace place = places[row];
    if (place.position < 0) return;
    const int dim = attention.head_dim;
    const int head = output / dim;
    const int i = output % dim;
    const int heads = attention.heads;
    const int kv_heads = attention.kv_heads;
    E* to = out + row * stride + output;
    if (head >= heads) {
      constexpr int kTokens = static_cast<int>(kPageTokens);
      const int page = pages[place.first_page + place.position / kTokens];
      const int kv = (head - heads) % kv_heads;
      const int values = head < heads + kv_heads ? 0 : 1;
      const std::int64_t token =
          ((std::int64_t{page} * kv_heads + kv) * 2 + values) * kTokens + place.position % kTokens;
      to = cache.data + token * dim + i;
    }
    if (head >= heads + kv_heads) {
      store_all(to, a);
      store_all(to + dim / 2, b);
      return;
    }
    const float* const angles = attention.rotations + std::int64_t{place.position} * dim + i;
    const auto cosines = load<kCount>(angles);
    const auto sines = load<kCount>(angles + dim / 2);
    float first[kCount];
    float second[kCount];
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
      first[n] = a[n] * cosines[n] - b[n] * sines[n];
      second[n] = b[n] * cosines[n] + a[n] * sines[n];
    }
    store_all(to, first);
    store_all(to + dim / 2, second);
  }

  template <int kCount>
  __device__ static void store_all(E* to, const float (&values)[kCount]) {
    if constexpr (kCount == 1) {
      *to = from_float<E>(values[0]);
    } else {
      Vec<E, kCount> all;
#pragma unroll
      for (int i = 0; i < kCount; ++i) all[i] = from_float<E>(values[i]);
      store(to, all);
    }
  }
};

// The operands: x [rows, in], normalised first if there is a norm, and W.
template <class E>
struct TokenInput {
  const E* x = nullptr;
  std::int64_t stride = 0;
  int rows = 0;
  DeviceNorm norm{};
  DeviceMatrix weights{};
};

// Whether tensor cores multiply tokens with weights of this format: skinny_gemm.hpp in decode
// steps,
// ../gemm/token_tile.hpp in prefill; else it is plain_gemv.hpp.
template <class E>
constexpr bool has_tensor_cores(WeightType type) {
  using enum WeightFormat::Type;
  return sizeof(E) == 2 && (type == kBF16 || type == kInt8 || type == kInt4);
}
// Whether skinny_gemm.hpp can load the rows of x, as those of any real model.
template <class E>
bool is_skinny(const TokenInput<E>& input) {
  return has_tensor_cores<E>(input.weights.format.type) && input.weights.in % 8 == 0 &&
         is_aligned(input.x, input.stride);
}
// Whether it computes their norm, too; else that must be done before.
template <class E>
bool fuses_norm(const TokenInput<E>& input) {
  constexpr int kMostRows = 8;
  constexpr int kMostChannels = 4096;  // as shared memory allows
  return is_skinny(input) && input.rows <= kMostRows && input.weights.in <= kMostChannels;
}

// The GEMM of a decode step. Defined in token_gemv.hpp; kernels.cmake generates a source that
// instantiates it for each weight format.
template <class E, WeightType kType>
struct TokenGemv {
  static void multiply(Stream<kTarget>& stream, const TokenInput<E>& input,
                       const TokenOutput<E>& output, const SplitSums& split);
};

}  // namespace fvlm::FVLM_CUDA_TARGET
