// Attention of up to eight queries over the KV cache pages of one kv head, in two passes.
//
// Scores: keys are stored transposed, so a vector holds one element of adjacent keys, and a
// register tile of queries x vectors of keys accumulates over the whole head dimension. Softmax
// runs along each query's scores. Output: a vector holds adjacent elements of one value, and a
// register tile of queries x vectors of the head dimension accumulates over all keys. The order of
// a query's sums does not depend on the other queries.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "fvlm/ops/batch.hpp"
#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

inline constexpr int kTileQueries = 4;
inline constexpr int kTileVectors = kRegisters / 2 / kTileQueries;  // half of them accumulate

std::int64_t score_stride(const AttentionBlock& a) {
  return (a.keys + kPageTokens - 1) / kPageTokens * kPageTokens;
}

// q k of queries [first, first + kQueries) and all keys. Beyond the last key the scores are what
// the page holds there; softmax does not read them.
template <int kQueries>
void score_tile(const AttentionBlock& a, std::int64_t first) {
  constexpr int kVectors = std::min<int>(kTileVectors, kPageTokens / kLanes);
  const std::int64_t stride = score_stride(a);
  const float* query = a.query + first * a.query_stride;
  for (std::int64_t key = 0; key < a.keys; key += kVectors * kLanes) {
    const float* keys = a.key_pages[key / kPageTokens] + key % kPageTokens;
    V sums[kQueries][kVectors];
    unroll<kQueries>([&](auto q) FVLM_LAMBDA {
      unroll<kVectors>([&](auto v) FVLM_LAMBDA { sums[q][v] = zero(); });
    });
    for (std::int64_t d = 0; d < a.head_dim; ++d) {
      V k[kVectors];
      unroll<kVectors>([&](auto v)
                           FVLM_LAMBDA { k[v] = load(keys + d * kPageTokens + v * kLanes); });
      unroll<kQueries>([&](auto q) FVLM_LAMBDA {
        const V x = broadcast(query[q * a.query_stride + d]);
        unroll<kVectors>([&](auto v) FVLM_LAMBDA { sums[q][v] = hn::MulAdd(x, k[v], sums[q][v]); });
      });
    }
    unroll<kQueries>([&](auto q) FVLM_LAMBDA {
      float* scores = a.scores + (first + q) * stride + key;
      unroll<kVectors>([&](auto v) FVLM_LAMBDA { store(sums[q][v], scores + v * kLanes); });
    });
  }
}

V largest_of(const float* scores, std::int64_t count) {
  const V lowest = broadcast(-std::numeric_limits<float>::infinity());
  V largest = lowest;
  for_each_vector(count, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    largest = hn::Max(largest, part.select(part.load(scores + i), lowest));
  });
  return broadcast(max_of_lanes(largest));
}

// out[i] = exp(scale (scores[i] - largest)); returns 1 / their sum.
float softmax_to_float(const float* scores, float* out, std::int64_t count, float scale) {
  const V largest = largest_of(scores, count);
  V sum = zero();
  for_each_vector(count, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    const V e = exp(hn::Mul(hn::Sub(part.load(scores + i), largest), broadcast(scale)));
    part.store(e, out + i);
    sum = hn::Add(sum, part.select(e, zero()));
  });
  return 1.0F / sum_of_lanes(sum);
}

// The same to the accuracy of bfloat16.
float softmax_to_bfloat16(const float* scores, BFloat16* out, std::int64_t count, float scale) {
  constexpr float kLog2OfE = 1.44269504F;
  const V factor = broadcast(scale * kLog2OfE);
  const V shift = hn::Neg(hn::Mul(largest_of(scores, count), factor));
  const auto weight = [&](V score)
                          FVLM_LAMBDA { return rough_exp2(hn::MulAdd(score, factor, shift)); };
  V sum = zero();
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const V first = weight(load(scores + i));
    const V second = weight(load(scores + i + kLanes));
    store_upper_halves(nearest_bfloat16(first), nearest_bfloat16(second), out + i);
    sum = hn::Add(sum, hn::Add(first, second));
  }
  for_each_vector(count - i, [&](std::int64_t j, auto part) FVLM_LAMBDA {
    const V e = weight(part.load(scores + i + j));
    part.store(e, out + i + j);
    sum = hn::Add(sum, part.select(e, zero()));
  });
  return 1.0F / sum_of_lanes(sum);
}

// Elements [d, d + kVectors * part.count()) of the outputs of queries [first, first + kQueries).
template <int kQueries, int kVectors, class Part>
HWY_INLINE void value_tile(const AttentionBlock& a, std::int64_t first, std::int64_t d,
                           const float* reciprocals, Part part) {
  const std::int64_t stride = score_stride(a);
  V sums[kQueries][kVectors];
  unroll<kQueries>([&](auto q) FVLM_LAMBDA {
    unroll<kVectors>([&](auto v) FVLM_LAMBDA { sums[q][v] = zero(); });
  });
  for (std::int64_t page = 0; page * kPageTokens < a.keys; ++page) {
    const float* values = a.value_pages[page] + d;
    const float* weights = a.scores + first * stride + page * kPageTokens;
    const std::int64_t keys = std::min(kPageTokens, a.keys - page * kPageTokens);
    for (std::int64_t t = 0; t < keys; ++t, values += a.head_dim) {
      V x[kVectors];
      unroll<kVectors>([&](auto v) FVLM_LAMBDA { x[v] = part.load(values + v * kLanes); });
      unroll<kQueries>([&](auto q) FVLM_LAMBDA {
        const V w = broadcast(weights[q * stride + t]);
        unroll<kVectors>([&](auto v) FVLM_LAMBDA { sums[q][v] = hn::MulAdd(w, x[v], sums[q][v]); });
      });
    }
  }
  unroll<kQueries>([&](auto q) FVLM_LAMBDA {
    float* out = a.out + (first + q) * a.out_stride + d;
    const V reciprocal = broadcast(reciprocals[q]);
    unroll<kVectors>(
        [&](auto v) FVLM_LAMBDA { part.store(hn::Mul(sums[q][v], reciprocal), out + v * kLanes); });
  });
}

template <int kQueries>
void attention_tile(const AttentionBlock& a, std::int64_t first) {
  score_tile<kQueries>(a, first);
  float reciprocals[kQueries];
  for (std::int64_t q = 0; q < kQueries; ++q) {
    float* scores = a.scores + (first + q) * score_stride(a);
    reciprocals[q] = softmax_to_float(scores, scores, a.keys, a.scale);
  }
  std::int64_t d = 0;
  const auto take = [&](auto vectors) FVLM_LAMBDA {
    for (; d + vectors * kLanes <= a.head_dim; d += vectors * kLanes) {
      value_tile<kQueries, vectors>(a, first, d, reciprocals, Full{});
    }
  };
  take(Index<kTileVectors>{});
  if constexpr (kTileVectors > 2) take(Index<2>{});
  take(Index<1>{});
  if (d < a.head_dim) value_tile<kQueries, 1>(a, first, d, reciprocals, Some(a.head_dim - d));
}

void attention_of(const AttentionBlock& a) {
  std::int64_t first = 0;
  for (; first + kTileQueries <= a.queries; first += kTileQueries) {
    attention_tile<kTileQueries>(a, first);
  }
  unroll<kTileQueries - 1>([&](auto i) FVLM_LAMBDA {
    if (a.queries - first == i + 1) attention_tile<i + 1>(a, first);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(attention_of);
HWY_EXPORT(softmax_to_float);
HWY_EXPORT(softmax_to_bfloat16);

void attention(const AttentionBlock& block) {
  HWY_DYNAMIC_DISPATCH(attention_of)(block);
}

float softmax(const float* scores, float* out, std::int64_t count, float scale) {
  return HWY_DYNAMIC_DISPATCH(softmax_to_float)(scores, out, count, scale);
}

float softmax(const float* scores, BFloat16* out, std::int64_t count, float scale) {
  return HWY_DYNAMIC_DISPATCH(softmax_to_bfloat16)(scores, out, count, scale);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
