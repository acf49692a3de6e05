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

namespace fvlm::FVLM_CUDA_TARGET {

enum class TokenOutputKind : std::uint8_t { kLinear, kSwiglu, kAttentionInput };

// Outputs of pair p; the second may be at `out`, and is none then.
struct OutputPair {
  int first;
  int second;
};

template <class E>
struct TokenOutput {
  TokenOutputKind kind = TokenOutputKind::kLinear;
  int outputs = 0;              // of the matrix
  const float* bias = nullptr;  // [outputs], or null
  E* out = nullptr;             // [rows, ...]: the result, or q
  float* logits = nullptr;      // [rows, ...]: the result in its place
  std::int64_t stride = 0;      // of either
  bool gelu = false;
  bool accumulate = false;
  // For attention.
  DeviceAttention attention{};
  CacheLayer<E> cache{};
  const RowPlace* places = nullptr;
  const std::int32_t* pages = nullptr;

  __host__ __device__ int pairs() const { return (outputs + 1) / 2; }

  __device__ OutputPair pair(int p) const {
    if (kind == TokenOutputKind::kLinear) return {2 * p, 2 * p + 1};
    const int half = kind == TokenOutputKind::kSwiglu ? outputs / 2 : attention.head_dim / 2;
    const int first = p / half * 2 * half + p % half;
    return {first, first + half};
  }

  // As the epilogue of a block-tiled GEMM whose columns are the outputs pair by pair: epilogue.hpp.
  __device__ void operator()(int row, int col, const float (&values)[8]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int p = col / 2 + i;
      if (p < pairs()) write(row, p, values[2 * i], values[2 * i + 1]);
    }
  }

  __device__ void write(int row, int p, float a, float b) const {
    const auto [first, second] = pair(p);
    if (bias != nullptr) {
      a += bias[first];
      if (second < outputs) b += bias[second];
    }
    switch (kind) {
      case TokenOutputKind::kLinear:
        write_one(row, first, a);
        if (second < outputs) write_one(row, second, b);
        break;
      case TokenOutputKind::kSwiglu:
        out[row * stride + first] = from_float<E>(silu(a) * b);
        break;
      case TokenOutputKind::kAttentionInput:
        write_head(row, first, a, b);
        break;
    }
  }

 private:
  __device__ void write_one(int row, int output, float value) const {
    if (gelu) value = FVLM_CUDA_TARGET::gelu<E>(value);
    if (logits != nullptr) {
      logits[row * stride + output] = value;
      return;
    }
    E& to = out[row * stride + output];
    to = from_float<E>(accumulate ? value + to_float(to) : value);
  }

  // Outputs i and i + head_dim / 2 of a head, which is one of q, k or v in this order.
  __device__ void write_head(int row, int output, float a, float b) const {
    const RowPlace place = places[row];
    if (place.position < 0) return;
    const int dim = attention.head_dim;
    const int head = output / dim;
    const int i = output % dim;
    const int heads = attention.heads;
    const int kv_heads = attention.kv_heads;
    if (head < heads + kv_heads) {
      const float* const angle = attention.rotations + std::int64_t{place.position} * dim + i;
      const float c = angle[0];
      const float s = angle[dim / 2];
      const float rotated = a * c - b * s;
      b = b * c + a * s;
      a = rotated;
    }
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
    to[0] = from_float<E>(a);
    to[dim / 2] = from_float<E>(b);
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
                       const TokenOutput<E>& output);
};

}  // namespace fvlm::FVLM_CUDA_TARGET
