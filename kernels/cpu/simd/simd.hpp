// SIMD kernels of the CPU backend: single-threaded functions over ranges of rows. Each is written
// once with Highway, compiled for several instruction sets (AVX-512, AVX2, NEON, ...: see
// targets.hpp) and dispatched at run time. The Cpu backend gives each thread its range.
// Arithmetic is float32; NaN in an input propagates to the output.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/buffer.hpp"
#include "fvlm/core/element.hpp"
#include "fvlm/core/view.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/weight_format.hpp"

namespace fvlm::simd {

// Elementwise ------------------------------------------------------------------------------------
// x[i] = x[i] * (1 + erf(x[i] / sqrt 2)) / 2; absolute error below 5e-7 * max(1, |x|), in bfloat16
// below 3.5e-5 * max(1, |x|) before it is rounded.
void gelu(float* x, std::int64_t count);
void gelu(BFloat16* x, std::int64_t count);
// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i].
void swiglu(const float* gate, const float* up, float* out, std::int64_t count);
// out[i] = GELU(x[i] * scale[i]).
void gelu_scaled(const float* x, const float* scale, float* out, std::int64_t count);

// Norms of one row, channels floats --------------------------------------------------------------
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out,
                std::int64_t channels);
void rms_norm(const float* x, const float* weight, float eps, float* out, std::int64_t channels);

// Convolutions -----------------------------------------------------------------------------------
struct DepthwiseWeights {
  DepthwiseSpec spec;
  Buffer weight;  // in blocks of channels: see depthwise.cpp
  Buffer bias;
};
// Throws Error unless the kernel is 3 or 7, the stride 1 or 2, and the multiplier 1 or 2.
DepthwiseWeights pack_depthwise(const DepthwiseSpec& spec, const HostDepthwise& host);
// Output rows [first, first + rows) of image `image`: out [rows, width / stride, out channels].
// Zero padding of kernel / 2; with stride 2 the width is even.
void depthwise(FeatureMap<const float> in, std::int64_t image, const DepthwiseWeights& weights,
               Activation activation, std::int64_t first, std::int64_t rows, float* out);
// The same for the filters of conv_ffn: 7x7 with stride 1 and multiplier 1.
void depthwise(FeatureMap<const float> in, std::int64_t image, const DepthwiseWeights& weights,
               Activation activation, std::int64_t first, std::int64_t rows, BFloat16* out);

struct StemWeights {
  std::int64_t channels = 0;
  Buffer weight;
  Buffer bias;
};
StemWeights pack_stem(const HostStem& host);
// Output rows [first, first + rows) of GELU(conv3x3 stride 2 (pixels)) of image `image`, with zero
// padding of 1: out [rows, width / 2, channels].
void stem(FeatureMap<const std::uint8_t> pixels, std::int64_t image, const StemWeights& weights,
          std::int64_t first, std::int64_t rows, float* out);

// GEMV and skinny GEMM ---------------------------------------------------------------------------
// Weight rows and inputs are padded with zeros to a multiple of kRowPadding elements, so no kernel
// has a tail. The order in which an output's sum is made does not depend on how many inputs are
// multiplied at once: batching does not change a single bit.
inline constexpr std::int64_t kRowPadding = 64;
inline constexpr std::int64_t kMaxInputs = 8;

struct MatVec {
  const float* x = nullptr;         // [inputs, padded]
  const std::int16_t* q = nullptr;  // [inputs, padded], with q_scales [inputs]: what quantised
  const float* q_scales = nullptr;  // weights are multiplied with instead, see quantise_input
  std::int64_t inputs = 0;          // 1..kMaxInputs
  std::int64_t padded = 0;          // elements of a weight row, a multiple of kRowPadding
  const float* bias = nullptr;      // by output, or null
  float* out = nullptr;             // out[input * out_stride + output]
  std::int64_t out_stride = 0;
  bool accumulate = false;  // add to what out holds
};
// Outputs [first, last) of W x (+ bias): weight row o is at weight + o * padded.
void matvec(const float* weight, const MatVec& m, std::int64_t first, std::int64_t last);
void matvec(const BFloat16* weight, const MatVec& m, std::int64_t first, std::int64_t last);

// A quantised matrix: words [rows, padded * bits / 16] and scales [rows, padded / group], with
// `padded` the format's own.
struct QuantisedRows {
  WeightFormat format;
  const std::int16_t* words = nullptr;
  const BFloat16* scales = nullptr;
};
void matvec(const QuantisedRows& weights, const MatVec& m, std::int64_t first, std::int64_t last);
// Rounds x to multiples q of the scale that is returned, with the largest |q| 32767. The scale is
// not a number if one of x is not finite. `count`: a multiple of 16.
float quantise_input(const float* x, std::int16_t* q, std::int64_t count);
// Rows [first, first + count) as [count, padded].
void dequantise(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                std::int64_t count, float* to);
void dequantise(const QuantisedRows& weights, std::int64_t padded, std::int64_t first,
                std::int64_t count, BFloat16* to);

// count elements, a multiple of 16; exact.
void to_float(const BFloat16* from, float* to, std::int64_t count);
// count elements, to nearest, ties to even; a quiet NaN stays one.
void to_bf16(const float* from, BFloat16* to, std::int64_t count);

// Attention --------------------------------------------------------------------------------------
inline constexpr std::int64_t kMaxQueries = 8;

// Up to kMaxQueries queries that see the same first `keys` keys of one kv head.
// Keys of a page are transposed, [head_dim][kPageTokens]; values are [kPageTokens][head_dim].
struct AttentionBlock {
  const float* const* key_pages = nullptr;
  const float* const* value_pages = nullptr;
  std::int64_t keys = 0;
  std::int64_t head_dim = 0;     // a multiple of 4
  float scale = 1;               // of the scores
  const float* query = nullptr;  // query[i * query_stride + d]
  std::int64_t query_stride = 0;
  std::int64_t queries = 0;
  float* scores = nullptr;  // scratch, [queries, keys rounded up to kPageTokens]
  float* out = nullptr;     // out[i * out_stride + d]
  std::int64_t out_stride = 0;
};
// out = softmax(scale q K^T) V. Keys beyond `keys` in the last page may hold anything, NaN too.
void attention(const AttentionBlock& block);

// out[i] = exp(scale (scores[i] - largest score)); returns 1 / their sum. `out` may be `scores`. To
// bfloat16 with a relative error below 1e-4 before it is rounded.
float softmax(const float* scores, float* out, std::int64_t count, float scale);
float softmax(const float* scores, BFloat16* out, std::int64_t count, float scale);

// Heads of `head_dim` floats side by side, rotated in place: the halves (x1, x2) of each become
// (x1 c - x2 s, x2 c + x1 s) with cosine and sine [head_dim / 2].
void rotate(float* heads, std::int64_t count, std::int64_t head_dim, const float* cosine,
            const float* sine);

// Multiplies and adds on registers alone; returns how many times, and what came out so that it is
// not left out.
std::int64_t multiply_adds(std::int64_t rounds, float* result);

// The instruction set in use, e.g. "AVX3_DL".
const char* instruction_set();
// From now on leaves out the x86 instruction sets whose vectors have more bits than these.
void limit_vectors(int bits);

}  // namespace fvlm::simd
