// Attention of a batch: dispatch of rows to kernels, and a plain kernel for float.
#include "kernels/cuda/attention/attention.hpp"

#include "kernels/cuda/attention/attention_decode.hpp"
#include "kernels/cuda/attention/attention_prefill.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kPlainThreads = 128;
constexpr int kPlainWarps = kPlainThreads / 32;
constexpr int kMostDim = AttentionKernels<kTarget, float>::kPlainHeadDim;

// A warp for each row and head; each lane scores a token and then sums up some dimensions.
__global__ void __launch_bounds__(kPlainThreads)
    plain_attention(const float* query, std::int64_t query_stride, DeviceAttention attention,
                    DeviceBatch batch, CacheLayer<float> cache, float* out,
                    std::int64_t out_stride) {
  struct Shared {
    float weights[kPlainWarps][32];
  };
  check_launch_bounds<kPlainThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int warp = static_cast<int>(warp_id());
  const int lane = static_cast<int>(lane_id());
  const int task = static_cast<int>(blockIdx.x) * kPlainWarps + warp;
  const int row = task / attention.heads;
  const int head = task % attention.heads;
  if (row >= batch.rows || batch.places[row].position < 0) return;
  const RowPlace place = batch.places[row];
  const int dim = attention.head_dim;
  const int kv_head = head / (attention.heads / attention.kv_heads);
  const float* const q = query + row * query_stride + head * dim;
  const auto key_of = [&](int token) {
    const std::int64_t page = batch.pages[place.first_page + token / kPage];
    return cache.data + ((page * cache.kv_heads + kv_head) * 2 * kPage + token % kPage) * dim;
  };
  const float scale = score_scale(dim);
  float largest = -INFINITY;
  float sum = 0;
  float values[kMostDim / 32] = {};
  for (int first = 0; first <= place.position; first += 32) {
    const int token = first + lane;
    float score = -INFINITY;
    if (token <= place.position) {
      const float* const key = key_of(token);
      score = 0;
      for (int d = 0; d < dim; ++d) score += q[d] * key[d];
      score *= scale;
    }
    const float most = fmaxf(largest, warp_max(score));
    const float correction = weight_of(largest, most);
    const float weight = weight_of(score, most);
    largest = most;
    sum = sum * correction + warp_sum(weight);
    shared.weights[warp][lane] = weight;
    __syncwarp();
    for (int i = 0; i * 32 + lane < dim; ++i) {
      values[i] *= correction;
      for (int k = 0; k < 32 && first + k <= place.position; ++k) {
        values[i] += shared.weights[warp][k] * key_of(first + k)[kPage * dim + i * 32 + lane];
      }
    }
    __syncwarp();
  }
  for (int i = 0; i * 32 + lane < dim; ++i) {
    out[row * out_stride + head * dim + i * 32 + lane] = values[i] / sum;
  }
}

std::int64_t splits_of(std::int64_t tokens) {
  return (tokens + kPage - 1) / kPage;
}

// Bytes of the counters at the beginning of the scratch memory: for any grid of so many rows.
std::int64_t counter_bytes(const DeviceAttention& attention, std::int64_t rows) {
  const std::int64_t bytes = rows * attention.heads * static_cast<std::int64_t>(sizeof(unsigned));
  return (bytes + 255) / 256 * 256;
}

template <int kDim>
void launch_attention(Stream<kTarget>& stream, View<const BFloat16> query,
                      const DeviceAttention& attention, const DeviceBatch& batch,
                      const CacheLayer<BFloat16>& cache, std::byte* scratch, View<BFloat16> out) {
  const int group = attention.heads / attention.kv_heads;
  const std::int64_t splits = splits_of(batch.most_tokens);
  const std::int64_t head_parts = (group + kHeadRows - 1) / kHeadRows;
  const SplitScratch split_scratch{
      reinterpret_cast<unsigned*>(scratch),
      reinterpret_cast<float*>(scratch + counter_bytes(attention, batch.single_capacity))};
  launch<decode_attention<kDim>>(
      Launch{.grid = {splits, attention.kv_heads * head_parts, batch.single_count},
             .block = DecodeAttention<kDim>::kThreads,
             .stream = stream,
             .overlap_previous = true},
      query.data, query.stride, attention, batch, cache, split_scratch, out.data, out.stride);
  using Shape = PrefillShape<kDim>;
  const std::int64_t tiles = (DeviceBatch::kRangeRows * group + Shape::kRows - 1) / Shape::kRows;
  launch<prefill_attention<kDim>>(Launch{.grid = {tiles, attention.kv_heads, batch.range_count},
                                         .block = Shape::kThreads,
                                         .shared_bytes = Shape::kSharedBytes,
                                         .stream = stream,
                                         .overlap_previous = true},
                                  query.data, query.stride, attention, batch, cache, out.data,
                                  out.stride);
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::launch;
using target::Launch;

template <Target t, class E>
std::int64_t AttentionKernels<t, E>::scratch_bytes(const DeviceAttention& attention,
                                                   std::int64_t rows, std::int64_t tokens) {
  return target::counter_bytes(attention, rows) + rows * target::splits_of(tokens) *
                                                      attention.heads * (attention.head_dim + 2) *
                                                      static_cast<std::int64_t>(sizeof(float));
}

template <Target t, class E>
void AttentionKernels<t, E>::attention(Stream<t>& stream, View<const E> query,
                                       const DeviceAttention& attention, const DeviceBatch& batch,
                                       const CacheLayer<E>& cache, std::byte* scratch,
                                       View<E> out) {
  if constexpr (sizeof(E) == sizeof(float)) {
    const std::int64_t tasks = std::int64_t{batch.rows} * attention.heads;
    launch<target::plain_attention>(
        Launch{.grid = (tasks + target::kPlainWarps - 1) / target::kPlainWarps,
               .block = target::kPlainThreads,
               .stream = stream,
               .overlap_previous = true},
        query.data, query.stride, attention, batch, cache, out.data, out.stride);
  } else {
    const auto run = [&]<int kDim>() {
      target::launch_attention<kDim>(stream, query, attention, batch, cache, scratch, out);
    };
    if (attention.head_dim == 16) run.template operator()<16>();
    if (attention.head_dim == 32) run.template operator()<32>();
    if (attention.head_dim == 64) run.template operator()<64>();
    if (attention.head_dim == 128) run.template operator()<128>();
  }
}

template struct AttentionKernels<kTarget, float>;
template struct AttentionKernels<kTarget, BFloat16>;

}  // namespace fvlm
