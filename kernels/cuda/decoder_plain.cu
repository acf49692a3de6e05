// The decoder in the plainest kernels, for matrices in the activations' own type: one thread for an
// output, one block for a row. The fast ones take its place.
#include <cmath>

#include "fvlm/core/element.hpp"
#include "fvlm/ops/batch.hpp"
#include "kernels/cuda/activation.hpp"
#include "kernels/cuda/block.hpp"
#include "kernels/cuda/decoder.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/number.hpp"
#include "kernels/cuda/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 128;

template <class E>
__device__ const E* matrix_row(const DeviceMatrix& m, std::int64_t r) {
  return reinterpret_cast<const E*>(m.weight + r * m.row_bytes);
}

template <class E>
__global__ void embed(const std::int32_t* ids, DeviceMatrix table, View<E> out) {
  const E* const row = matrix_row<E>(table, ids[blockIdx.x]);
  for (int c = static_cast<int>(threadIdx.x); c < out.cols; c += kThreads) {
    out.data[blockIdx.x * out.stride + c] = row[c];
  }
}

template <class E>
__global__ void rms_norm(View<const E> x, DeviceNorm norm, View<E> out) {
  struct Shared {
    float scratch[kThreads / 32];
  };
  auto& shared = static_shared<Shared>();
  const E* const row = x.data + blockIdx.x * x.stride;
  float sum = 0;
  for (int c = static_cast<int>(threadIdx.x); c < x.cols; c += kThreads) {
    sum += to_float(row[c]) * to_float(row[c]);
  }
  sum = block_sum<kThreads>(sum, shared.scratch);
  const float scale = 1.0F / sqrtf(sum / static_cast<float>(x.cols) + norm.eps);
  for (int c = static_cast<int>(threadIdx.x); c < x.cols; c += kThreads) {
    out.data[blockIdx.x * out.stride + c] =
        from_float<E>(to_float(row[c]) * scale * norm.weight[c]);
  }
}

// A warp for each output.
template <class E>
__device__ float product(const E* x, const DeviceMatrix& weights, int c) {
  const E* const w = matrix_row<E>(weights, c);
  float sum = 0;
  for (int i = static_cast<int>(lane_id()); i < weights.in; i += 32) {
    sum += to_float(x[i]) * to_float(w[i]);
  }
  return warp_sum(sum) + (weights.bias == nullptr ? 0.0F : weights.bias[c]);
}

template <class E, class Out>
__global__ void linear(View<const E> in, DeviceMatrix weights, bool gelu_after, bool accumulate,
                       View<Out> out) {
  const E* const x = in.data + blockIdx.y * in.stride;
  Out* const to = out.data + blockIdx.y * out.stride;
  const int c = static_cast<int>(blockIdx.x * (kThreads / 32) + warp_id());
  if (c >= weights.out) return;
  float value = product(x, weights, c);
  if (gelu_after) value = gelu(value);
  if (lane_id() == 0) to[c] = from_float<Out>(value + (accumulate ? to_float(to[c]) : 0.0F));
}

template <class E>
__global__ void swiglu(View<const E> x, DeviceMatrix gate_up, View<E> out) {
  const E* const row = x.data + blockIdx.y * x.stride;
  const int c = static_cast<int>(blockIdx.x * (kThreads / 32) + warp_id());
  if (c >= out.cols) return;
  const float gate = product(row, gate_up, c);
  const float up = product(row, gate_up, c + static_cast<int>(out.cols));
  if (lane_id() == 0) {
    out.data[blockIdx.y * out.stride + c] = from_float<E>(gate / (1.0F + expf(-gate)) * up);
  }
}

// A block for a row and a head of q, k or v; both halves of a rotated pair in one warp.
template <class E>
__global__ void attention_input(View<const E> x, DeviceMatrix qkv, DeviceAttention attention,
                                DeviceBatch batch, CacheLayer<E> cache, View<E> query) {
  const RowPlace place = batch.places[blockIdx.y];
  if (place.position < 0) return;
  const E* const row = x.data + blockIdx.y * x.stride;
  const int dim = attention.head_dim;
  const int half = dim / 2;
  const int head = static_cast<int>(blockIdx.x);
  const int kv_head = (head - attention.heads) % attention.kv_heads;
  const bool is_value = head >= attention.heads + attention.kv_heads;
  const std::int64_t page = batch.pages[place.first_page + place.position / kPageTokens];
  E* const to = head < attention.heads
                    ? query.data + blockIdx.y * query.stride + head * dim
                    : cache.data + (((page * cache.kv_heads + kv_head) * 2 + (is_value ? 1 : 0)) *
                                        kPageTokens +
                                    place.position % kPageTokens) *
                                       dim;
  const float* const rotation = attention.rotations + std::int64_t{place.position} * dim;
  for (int i = static_cast<int>(warp_id()); i < half; i += kThreads / 32) {
    const float first = product(row, qkv, head * dim + i);
    const float second = product(row, qkv, head * dim + half + i);
    const float c = is_value ? 1.0F : rotation[i];
    const float s = is_value ? 0.0F : rotation[half + i];
    if (lane_id() != 0) continue;
    to[i] = from_float<E>(first * c - second * s);
    to[half + i] = from_float<E>(second * c + first * s);
  }
}

// A warp for a row and a head; each lane has some channels, which are at most 128.
template <class E>
__global__ void attention_rows(View<const E> query, DeviceAttention attention, DeviceBatch batch,
                               CacheLayer<E> cache, View<E> out) {
  const RowPlace place = batch.places[blockIdx.y];
  if (place.position < 0) return;
  const int dim = attention.head_dim;
  const int head = static_cast<int>(blockIdx.x);
  const int kv_head = head / (attention.heads / attention.kv_heads);
  const int lane = static_cast<int>(lane_id());
  const E* const q = query.data + blockIdx.y * query.stride + head * dim;
  float sums[4] = {};
  float largest = -INFINITY;
  float total = 0;
  for (int t = 0; t <= place.position; ++t) {
    const std::int64_t page = batch.pages[place.first_page + t / kPageTokens];
    const E* const key =
        cache.data + ((page * cache.kv_heads + kv_head) * 2 * kPageTokens + t % kPageTokens) * dim;
    const E* const value = key + kPageTokens * dim;
    float dot = 0;
    for (int d = lane; d < dim; d += 32) dot += to_float(q[d]) * to_float(key[d]);
    const float score = warp_sum(dot) / sqrtf(static_cast<float>(dim));
    const float now = fmaxf(largest, score);
    const float shrink = expf(largest - now);
    const float weight = expf(score - now);
    largest = now;
    total = total * shrink + weight;
    for (int i = 0; lane + 32 * i < dim; ++i) {
      sums[i] = sums[i] * shrink + weight * to_float(value[lane + 32 * i]);
    }
  }
  for (int i = 0; lane + 32 * i < dim; ++i) {
    out.data[blockIdx.y * out.stride + head * dim + lane + 32 * i] = from_float<E>(sums[i] / total);
  }
}

__global__ void copy_layers(const std::byte* from, std::byte* to, std::int64_t bytes,
                            std::int64_t layer_bytes) {
  for (std::int64_t i = threadIdx.x; i < bytes; i += kThreads) {
    to[blockIdx.x * layer_bytes + i] = from[blockIdx.x * layer_bytes + i];
  }
}

Launch over(Stream<kTarget>& stream, std::int64_t blocks, std::int64_t rows = 1) {
  return {.grid = {blocks, rows}, .block = kThreads, .stream = stream};
}

std::int64_t warps(std::int64_t outputs) {
  return (outputs + kThreads / 32 - 1) / (kThreads / 32);
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::launch;
using target::over;
using target::warps;

template <>
template <class E>
void EmbedKernels<kTarget>::embed(Stream<kTarget>& stream, const std::int32_t* ids,
                                  const DeviceMatrix& table, View<E> out) {
  launch<target::embed<E>>(over(stream, out.rows), ids, table, out);
}
template <>
void EmbedKernels<kTarget>::copy_page(Stream<kTarget>& stream, const std::byte* from, std::byte* to,
                                      std::int64_t bytes, std::int64_t layers,
                                      std::int64_t layer_bytes) {
  launch<target::copy_layers>(over(stream, layers), from, to, bytes, layer_bytes);
}

template <>
template <class E>
void TokenKernels<kTarget>::linear(Stream<kTarget>& stream, View<const E> in,
                                   const DeviceMatrix& weights, bool gelu, bool accumulate,
                                   View<E> out) {
  launch<target::linear<E, E>>(over(stream, warps(out.cols), in.rows), in, weights, gelu,
                               accumulate, out);
}
template <>
template <class E>
void TokenKernels<kTarget>::swiglu(Stream<kTarget>& stream, View<const E> x, const DeviceNorm& norm,
                                   const DeviceMatrix& gate_up, Scratch<E> scratch, View<E> out) {
  launch<target::rms_norm<E>>(over(stream, x.rows), x, norm, scratch);
  launch<target::swiglu<E>>(over(stream, warps(out.cols), x.rows), scratch, gate_up, out);
}
template <>
template <class E>
void TokenKernels<kTarget>::attention_input(Stream<kTarget>& stream, View<const E> x,
                                            const DeviceNorm& norm, const DeviceMatrix& qkv,
                                            const DeviceAttention& attention,
                                            const DeviceBatch& batch, const CacheLayer<E>& cache,
                                            Scratch<E> scratch, View<E> query) {
  launch<target::rms_norm<E>>(over(stream, x.rows), x, norm, scratch);
  launch<target::attention_input<E>>(over(stream, attention.heads + 2 * attention.kv_heads, x.rows),
                                     scratch, qkv, attention, batch, cache, query);
}
template <>
template <class E>
void TokenKernels<kTarget>::logits(Stream<kTarget>& stream, View<const E> x, const DeviceNorm& norm,
                                   const DeviceMatrix& head, Scratch<E> scratch, View<float> out) {
  launch<target::rms_norm<E>>(over(stream, x.rows), x, norm, scratch);
  launch<target::linear<E, float>>(over(stream, warps(out.cols), x.rows), scratch, head, false,
                                   false, out);
}

template <>
std::int64_t AttentionKernels<kTarget>::scratch_bytes(const DeviceAttention&, std::int64_t,
                                                      std::int64_t) {
  return 0;
}
template <>
template <class E>
void AttentionKernels<kTarget>::attention(Stream<kTarget>& stream, View<const E> query,
                                          const DeviceAttention& attention,
                                          const DeviceBatch& batch, const CacheLayer<E>& cache,
                                          std::byte*, View<E> out) {
  target::Launch how = over(stream, attention.heads, query.rows);
  how.block = 32;
  launch<target::attention_rows<E>>(how, query, attention, batch, cache, out);
}

#define FVLM_INSTANTIATE(E)                                                                       \
  template void EmbedKernels<kTarget>::embed(Stream<kTarget>&, const std::int32_t*,               \
                                             const DeviceMatrix&, View<E>);                       \
  template void TokenKernels<kTarget>::linear(Stream<kTarget>&, View<const E>,                    \
                                              const DeviceMatrix&, bool, bool, View<E>);          \
  template void TokenKernels<kTarget>::swiglu(Stream<kTarget>&, View<const E>, const DeviceNorm&, \
                                              const DeviceMatrix&, Scratch<E>, View<E>);          \
  template void TokenKernels<kTarget>::attention_input(                                           \
      Stream<kTarget>&, View<const E>, const DeviceNorm&, const DeviceMatrix&,                    \
      const DeviceAttention&, const DeviceBatch&, const CacheLayer<E>&, Scratch<E>, View<E>);     \
  template void TokenKernels<kTarget>::logits(Stream<kTarget>&, View<const E>, const DeviceNorm&, \
                                              const DeviceMatrix&, Scratch<E>, View<float>);      \
  template void AttentionKernels<kTarget>::attention(Stream<kTarget>&, View<const E>,             \
                                                     const DeviceAttention&, const DeviceBatch&,  \
                                                     const CacheLayer<E>&, std::byte*, View<E>);
FVLM_INSTANTIATE(float)
FVLM_INSTANTIATE(BFloat16)
#undef FVLM_INSTANTIATE

}  // namespace fvlm
