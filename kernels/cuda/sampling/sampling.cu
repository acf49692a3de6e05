// See sampling.hpp. A first kernel finds the top k of each slice of the vocabulary, a second merges
// them and draws.
//
// A logit and its token are packed into one integer key, larger for a larger logit and, among
// equals, for a smaller token, so that sorting keys orders tokens as the host does. The key 0,
// smaller than that of any logit, is in the place of a token that is not there or not allowed.
#include "kernels/cuda/sampling/sampling.hpp"

#include <cfloat>
#include <cmath>

#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

using Key = unsigned long long;

constexpr int kThreads = 512;
constexpr int kSlice = 2048;  // logits of a block
constexpr int kMostTopK = SamplingKernels<kTarget>::kMostTopK;

__device__ inline Key key_of(float logit, int token) {
  const std::uint32_t bits = __float_as_uint(logit + 0.0F);  // one zero instead of two
  const std::uint32_t ordered = bits ^ (bits >> 31 != 0 ? 0xffffffffU : 0x80000000U);
  return Key{ordered} << 32 | static_cast<std::uint32_t>(~token);
}
__device__ inline float logit_of(Key key) {
  const auto ordered = static_cast<std::uint32_t>(key >> 32);
  return __uint_as_float(ordered ^ (ordered >> 31 != 0 ? 0x80000000U : 0xffffffffU));
}
__device__ inline int token_of(Key key) {
  return static_cast<int>(~static_cast<std::uint32_t>(key));
}

// As on the host.
__device__ inline float made_finite(float logit) {
  if (!(logit == logit)) return -FLT_MAX;  // not a number
  return fminf(fmaxf(logit, -FLT_MAX), FLT_MAX);
}

// A thread for each adjustment.
__global__ void __launch_bounds__(kThreads)
    adjust(float* logits, std::int64_t stride, const RowAdjustment* adjustments, int count) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const auto& [row, by] = adjustments[i];
  float& logit = logits[row * stride + by.token];
  logit = adjusted(logit, by);
}

// Bitonic sort of kCount keys in shared memory, a power of two; the largest first (Batcher, 1968).
__device__ inline void sort_keys(Key* keys, int count) {
  for (int size = 2; size <= count; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < count / 2; i += kThreads) {
        const int low = i / step * 2 * step + i % step;
        const int high = low + step;
        const bool falling = (low & size) == 0;
        const Key a = keys[low];
        const Key b = keys[high];
        if ((a < b) == falling) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

__device__ inline int kept_keys(const SamplingRow& how) {
  return how.temperature > 0 ? how.top_k : 1;
}

// Grid: [slices, rows]. best [rows, slices, kMostTopK].
__global__ void __launch_bounds__(kThreads)
    best_of_slices(const float* logits, std::int64_t stride, int vocab, const SamplingRow* how,
                   const std::uint32_t* masks, Key* best) {
  struct Shared {
    Key keys[kSlice];
    Key scratch[kThreads / 32];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const std::int64_t row = blockIdx.y;
  const int kept = kept_keys(how[row]);
  const std::uint32_t* const mask =
      how[row].mask < 0 ? nullptr : masks + how[row].mask * token_mask_words(vocab);
  const int first = static_cast<int>(blockIdx.x) * kSlice;
  Key* const to = best + (row * gridDim.x + blockIdx.x) * kMostTopK;
  Key largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < kSlice; i += kThreads) {
    const int token = first + i;
    Key key = 0;
    if (token < vocab && (mask == nullptr || (mask[token / 32] >> (token % 32) & 1U) != 0)) {
      key = key_of(made_finite(logits[row * stride + token]), token);
    }
    shared.keys[i] = key;
    largest = max(largest, key);
  }
  if (kept == 1) {
    largest = block_max<kThreads>(largest, shared.scratch);
    if (threadIdx.x == 0) to[0] = largest;
    return;
  }
  sort_keys(shared.keys, kSlice);
  if (static_cast<int>(threadIdx.x) < kept) to[threadIdx.x] = shared.keys[threadIdx.x];
}

// Of kept keys, the largest first: the token drawn.
__device__ inline int draw_token(const Key* keys, int kept, const SamplingRow& how) {
  while (kept > 1 && keys[kept - 1] == 0) --kept;
  const double largest = logit_of(keys[0]);
  const auto score = [&](int i) { return (double{logit_of(keys[i])} - largest) / how.temperature; };
  double sum = 0;
  for (int i = 0; i < kept; ++i) sum += exp(score(i));
  if (how.top_p < 1) {
    double reached = 0;
    int n = 0;
    while (n < kept && reached < how.top_p * sum) reached += exp(score(n++));
    kept = n;
    sum = reached;
  }
  if (how.min_p > 0) {
    int n = 0;
    sum = 0;
    for (; n < kept && exp(score(n)) >= how.min_p; ++n) sum += exp(score(n));
    kept = n;
  }
  const double log_sum = log(sum);
  double draw = how.draw;
  int chosen = 0;
  while (chosen < kept - 1) {
    draw -= exp(score(chosen) - log_sum);
    if (draw < 0) break;
    ++chosen;
  }
  return token_of(keys[chosen]);
}

// A block for each row; `room` keys of shared memory, a power of two.
__global__ void __launch_bounds__(kThreads)
    sample(const Key* best, int slices, int room, const SamplingRow* how, std::int32_t* tokens) {
  struct Shared {
    Key scratch[kThreads / 32];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  Key* const keys = dynamic_shared<Key>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const std::int64_t row = blockIdx.x;
  const SamplingRow& mine = how[row];
  const int kept = kept_keys(mine);
  const Key* const from = best + row * slices * kMostTopK;
  int token = 0;
  if (kept == 1) {
    Key largest = 0;
    for (int i = static_cast<int>(threadIdx.x); i < slices; i += kThreads) {
      largest = max(largest, from[i * kMostTopK]);
    }
    token = token_of(block_max<kThreads>(largest, shared.scratch));
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < room; i += kThreads) {
      const bool there = i < slices * kept;
      keys[i] = there ? from[i / kept * kMostTopK + i % kept] : 0;
    }
    sort_keys(keys, room);
    if (threadIdx.x == 0) token = draw_token(keys, kept, mine);
  }
  if (threadIdx.x == 0) tokens[row] = token;
}

std::int64_t slices_of(std::int64_t vocab) {
  return (vocab + kSlice - 1) / kSlice;
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::kThreads;
using target::launch;
using target::Launch;

template <Target t>
std::int64_t SamplingKernels<t>::scratch_bytes(std::int64_t rows, std::int64_t vocab) {
  return rows * target::slices_of(vocab) * kMostTopK *
         static_cast<std::int64_t>(sizeof(target::Key));
}

template <Target t>
void SamplingKernels<t>::adjust(Stream<t>& stream, View<float> logits,
                                const RowAdjustment* adjustments, std::int64_t count) {
  if (count == 0) return;
  launch<target::adjust>(Launch{.grid = (count + kThreads - 1) / kThreads,
                                .block = kThreads,
                                .stream = stream,
                                .overlap_previous = true},
                         logits.data, logits.stride, adjustments, static_cast<int>(count));
}

template <Target t>
void SamplingKernels<t>::sample(Stream<t>& stream, const LogitRows& rows, std::byte* scratch) {
  const auto vocab = static_cast<int>(rows.logits.cols);
  const std::int64_t slices = target::slices_of(vocab);
  auto* const best = reinterpret_cast<target::Key*>(scratch);
  launch<target::best_of_slices>(Launch{.grid = {slices, rows.logits.rows},
                                        .block = kThreads,
                                        .stream = stream,
                                        .overlap_previous = true},
                                 rows.logits.data, rows.logits.stride, vocab, rows.how, rows.masks,
                                 best);
  int room = kMostTopK;
  while (room < slices * kMostTopK) room *= 2;
  launch<target::sample>(
      Launch{.grid = rows.logits.rows,
             .block = kThreads,
             .shared_bytes = static_cast<std::size_t>(room) * sizeof(target::Key),
             .stream = stream,
             .overlap_previous = true},
      best, static_cast<int>(slices), room, rows.how, rows.tokens);
}

template struct SamplingKernels<kTarget>;

}  // namespace fvlm
