#include "tests/kernels/cuda/sample.hpp"

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    add(const float* __restrict__ in, float* __restrict__ out, std::int64_t count) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  const std::int64_t first = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4;
  if (first + 4 <= count) {
    Vec16<float> sum = load16(out + first);
    const Vec16<float> more = load16_once(in + first);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] += more[i];
    store16(out + first, sum);
  } else {
    for (std::int64_t i = first; i < count; ++i) out[i] += in[i];
  }
  allow_next_kernel();
}

__global__ void __launch_bounds__(kThreads)
    row_sums(const float* in, std::int64_t cols, std::int64_t stride, float* out) {
  struct Shared {
    float scratch[kThreads / 32];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  const float* const row = in + blockIdx.x * stride;
  float sum = 0;
  for (std::int64_t c = threadIdx.x; c < cols; c += kThreads) sum += row[c];
  sum = block_sum<kThreads>(sum, shared.scratch);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// A block computes [16, 32] of out, each warp 8 columns of it, and reads a and b in steps of 16
// along k, the next while it multiplies the last.
template <class E>
__global__ void __launch_bounds__(kThreads)
    multiply(const E* a, std::int64_t a_stride, const E* b, std::int64_t b_stride, E* out,
             std::int64_t out_stride, int m, int n, int k) {
  constexpr int kStride = 24;  // elements between a tile's rows: see fragment.hpp
  struct Stage {
    E a[16 * kStride];
    E b[32 * kStride];
  };
  check_launch_bounds<kThreads>();
  auto* const stages = dynamic_shared<Stage>();
  const int row0 = static_cast<int>(blockIdx.y) * 16;
  const int col0 = static_cast<int>(blockIdx.x) * 32;
  const int thread = static_cast<int>(threadIdx.x);

  const auto fetch = [&](int step) {
    Stage& stage = stages[step % 2];
    const int from = step * 16 + thread % 2 * 8;  // along k
    const int row = thread / 2;
    const auto copy = [&](E* to, const E* source, std::int64_t stride, int at, int rows) {
      const bool valid = at < rows && from < k;
      copy_async(to + thread % 2 * 8, valid ? source + at * stride + from : source, valid);
    };
    if (row < 16) {
      copy(stage.a + row * kStride, a, a_stride, row0 + row, m);
    } else if (row < 48) {
      copy(stage.b + (row - 16) * kStride, b, b_stride, col0 + row - 16, n);
    }
    copy_async_commit();
  };

  const int steps = (k + 15) / 16;
  const int warp = static_cast<int>(warp_id());
  FragmentC c = {};
  fetch(0);
  for (int step = 0; step < steps; ++step) {
    copy_async_wait();
    __syncthreads();  // the stage is there, and the other is free
    if (step + 1 < steps) fetch(step + 1);
    const Stage& stage = stages[step % 2];
    mma(c, load_a(stage.a, kStride), load_b(stage.b + warp * 8 * kStride, kStride));
  }
  for (int i = 0; i < 4; ++i) {
    const int row = row0 + c.row(i);
    const int col = col0 + warp * 8 + c.col(i);
    if (row < m && col < n) out[row * out_stride + col] = from_float<E>(c.reg[i]);
  }
}

__global__ void __launch_bounds__(kThreads)
    scan(const int* in, int* out, unsigned* odd, std::int64_t count) {
  check_launch_bounds<kThreads>();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  int sum = i < count ? in[i] : 0;
  const unsigned votes = __ballot_sync(kAllLanes, sum & 1);
  for (unsigned step = 1; step < 32; step *= 2) {
    const int below = __shfl_up_sync(kAllLanes, sum, step);
    if (lane_id() >= step) sum += below;
  }
  if (i < count) out[i] = sum;
  if (lane_id() == 0) atomicAdd(odd, static_cast<unsigned>(__popc(votes)));
}

std::int64_t blocks_of(std::int64_t count, std::int64_t each) {
  return (count + each - 1) / each;
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
void SampleKernels<t>::add(Stream<t>& stream, const float* in, float* out, std::int64_t count) {
  launch<target::add>(Launch{.grid = target::blocks_of(count, 4 * kThreads),
                             .block = kThreads,
                             .stream = stream,
                             .overlap_previous = true},
                      in, out, count);
}

template <Target t>
void SampleKernels<t>::row_sums(Stream<t>& stream, View<const float> in, float* out) {
  launch<target::row_sums>(Launch{.grid = in.rows, .block = kThreads, .stream = stream}, in.data,
                           in.cols, in.stride, out);
}

template <Target t, class E>
void SampleProduct<t, E>::multiply(Stream<t>& stream, View<const E> a, View<const E> b,
                                   View<E> out) {
  constexpr std::size_t kStageBytes = (16 + 32) * 24 * sizeof(E);
  launch<target::multiply<E>>(
      Launch{.grid = {target::blocks_of(out.cols, 32), target::blocks_of(out.rows, 16)},
             .block = kThreads,
             .shared_bytes = 2 * kStageBytes,
             .stream = stream},
      a.data, a.stride, b.data, b.stride, out.data, out.stride, static_cast<int>(out.rows),
      static_cast<int>(out.cols), static_cast<int>(a.cols));
}

template <Target t>
void SampleKernels<t>::scan(Stream<t>& stream, const int* in, int* out, unsigned* odd,
                            std::int64_t count) {
  launch<target::scan>(
      Launch{.grid = target::blocks_of(count, kThreads), .block = kThreads, .stream = stream}, in,
      out, odd, count);
}

template struct SampleKernels<kTarget>;
template struct SampleProduct<kTarget, BFloat16>;
template struct SampleProduct<kTarget, Float16>;

}  // namespace fvlm
