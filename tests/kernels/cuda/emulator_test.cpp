// Threads, blocks and warps in the emulator: the semantics of CUDA's functions, and that a deadlock
// is an error and not a hang.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <numeric>
#include <thread>
#include <vector>

#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

__global__ void number_all(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  atomicAdd(&out[block * blockDim.x + thread_rank()], static_cast<int>(1000 * block + threadIdx.x));
}

TEST(CudaEmulator, GridsOfThreeDimensions) {
  constexpr int kThreads = 50;
  std::vector<int> out(std::size_t{2} * 3 * 4 * kThreads);
  run<number_all>({2, 3, 4}, kThreads, 0, out.data());
  for (int i = 0; i < static_cast<int>(out.size()); ++i) {
    EXPECT_EQ(out[static_cast<std::size_t>(i)], 1000 * (i / kThreads) + i % kThreads);
  }
}

template <bool barrier>
__global__ void reverse(const int* in, int* out) {
  int* const shared = dynamic_shared<int>();
  for (int round = 0; round < 3; ++round) {
    shared[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x] + round;
    if (barrier) __syncthreads();
    out[blockIdx.x * blockDim.x + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
    if (barrier) __syncthreads();
  }
}

TEST(CudaEmulator, BarriersAndDynamicSharedMemory) {
  for (const std::int64_t threads : {1, 31, 100, 1024}) {
    std::vector<int> in(static_cast<std::size_t>(3 * threads));
    std::iota(in.begin(), in.end(), 0);
    std::vector<int> out(in.size());
    std::vector<int> expected;
    for (std::int64_t b = 0; b < 3; ++b) {
      for (std::int64_t t = threads; t > 0; --t) {
        expected.push_back(static_cast<int>(b * threads + t - 1) + 2);
      }
    }
    const auto bytes = static_cast<std::size_t>(threads) * sizeof(int);
    run<reverse<true>>(3, threads, bytes, in.data(), out.data());
    EXPECT_EQ(out, expected);
    run<reverse<false>>(3, threads, bytes, in.data(), out.data());
    EXPECT_EQ(out == expected, threads == 1);
  }
}

// The first thread tells all others; which of them run first depends on the block.
template <bool barrier>
__global__ void broadcast(unsigned teller, int* out) {
  auto& shared = static_shared<int>();
  if (threadIdx.x == teller) shared = 5;
  if (barrier) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shared;
}

TEST(CudaEmulator, MissingBarrierShowsWhoeverRunsFirst) {
  const std::vector<int> expected(128, 5);
  for (const unsigned teller : {0U, 63U}) {
    std::vector<int> out(128);
    run<broadcast<true>>(2, 64, 0, teller, out.data());
    EXPECT_EQ(out, expected);
    run<broadcast<false>>(2, 64, 0, teller, out.data());
    EXPECT_NE(out, expected);
  }
}

__global__ void leave_early(int* out) {
  if (threadIdx.x % 3 == 0) return;
  __syncthreads();
  const int live = __popc(__ballot_sync(kAllLanes, 1));
  out[threadIdx.x] = live;
}

TEST(CudaEmulator, WhoEndsIsNotWaitedFor) {
  std::vector<int> out(64);
  run<leave_early>(1, 64, 0, out.data());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], i % 3 == 0 ? 0 : 21);
}

__global__ void wait_for_each_other() {
  if (threadIdx.x < 16) {
    __shfl_sync(kAllLanes, 1, 0);
  } else {
    __syncthreads();
  }
}

TEST(CudaEmulator, DeadlockIsReported) {
  expect_in_order(failure<wait_for_each_other>(1, 48, 0),
                  {"wait_for_each_other: block (0, 0, 0): deadlock",
                   "16 threads from (0, 0, 0) at __shfl_sync (emulator_test.cpp:",
                   "32 threads from (16, 0, 0) at __syncthreads (emulator_test.cpp:"});
}

__global__ void meet_with_different_masks() {
  __syncwarp(threadIdx.x == 0 ? kAllLanes : 0x0000ffff);
}

TEST(CudaEmulator, DifferentMasksInAWarpAreReported) {
  expect_in_order(failure<meet_with_different_masks>(1, 16, 0),
                  {"meet_with_different_masks: block (0, 0, 0)", "__syncwarp", "0xffff"});
}

__global__ void meet_at_different_functions() {
  if (threadIdx.x % 2 == 0) {
    __shfl_xor_sync(kAllLanes, 1, 1);
  } else {
    __shfl_down_sync(kAllLanes, 1, 1);
  }
}

TEST(CudaEmulator, DifferentFunctionsInAWarpAreReported) {
  expect_in_order(failure<meet_at_different_functions>(2, 64, 0),
                  {"meet_at_different_functions: block (", "waits at __shfl_"});
}

__global__ void divergent_barrier() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(CudaEmulator, DivergentBarrierIsReported) {
  expect_in_order(failure<divergent_barrier>(1, 64, 0),
                  {"divergent_barrier: block (0, 0, 0), thread (", "__syncthreads",
                   "other threads of the block wait at __syncthreads"});
}

__global__ void not_in_its_own_mask() {
  __syncwarp(0x2);
}

TEST(CudaEmulator, MaskWithoutTheCallerIsReported) {
  expect_in_order(failure<not_in_its_own_mask>(1, 1, 0), {"not_in_its_own_mask", "0x2"});
}

__global__ void __launch_bounds__(64) bounded(int* out) {
  check_launch_bounds<64>();
  *out = 1;
}

TEST(CudaEmulator, LaunchBoundsAreChecked) {
  int out = 0;
  run<bounded>(1, 64, 0, &out);
  EXPECT_EQ(out, 1);
  expect_in_order(failure<bounded>(1, 96, 0, &out), {"bounded", "96 threads", "64"});
  expect_in_order(failure<bounded>(1, 2048, 0, &out), {"bounded", "2048"});
  expect_in_order(failure<bounded>({1, 70000}, 32, 0, &out), {"bounded", "70000"});
  expect_in_order(failure<bounded>(1, 32, 300000, &out), {"bounded", "300000"});
  out = 0;
  run<bounded>(0, 32, 0, &out);
  EXPECT_EQ(out, 0);
}

__global__ void throw_in_the_middle(bool all_wait) {
  if (threadIdx.x == 20) emulator::Block::current().fail({"test", Where::current()}, "on purpose");
  if (all_wait) __syncthreads();
}

TEST(CudaEmulator, WorksOnAfterAFailure) {
  for (int i = 0; i < 3; ++i) {
    expect_in_order(failure<throw_in_the_middle>(9, 128, 0, i % 2 == 0),
                    {"throw_in_the_middle: block (", "thread (20, 0, 0)", "on purpose"});
    std::vector<int> out(2 * 64);
    run<number_all>(2, 64, 0, out.data());
    EXPECT_EQ(out[127], 1063);
  }
}

// Long enough that other cores join in.
__global__ void take_long(int failing, int* out) {
  if (threadIdx.x == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
  __syncthreads();
  if (static_cast<int>(blockIdx.x) == failing) {
    emulator::Block::current().fail({"test", Where::current()}, "on purpose");
  }
  atomicAdd(out, 1);
}

TEST(CudaEmulator, BlocksRunOnSeveralCores) {
  int out = 0;
  run<take_long>(64, 32, 0, -1, &out);
  EXPECT_EQ(out, 64 * 32);
  expect_in_order(failure<take_long>(64, 32, 0, 50, &out),
                  {"take_long: block (50, 0, 0)", "on purpose"});
}

// Warps ------------------------------------------------------------------------------------------

__global__ void shuffles(int* out) {
  const int x = static_cast<int>(threadIdx.x) + 100;
  int* const mine = out + threadIdx.x * 6;
  mine[0] = __shfl_sync(kAllLanes, x, 5);
  mine[1] = __shfl_sync(kAllLanes, x, 5, 8);
  mine[2] = __shfl_xor_sync(kAllLanes, x, 3);
  mine[3] = __shfl_up_sync(kAllLanes, x, 3, 16);
  mine[4] = __shfl_down_sync(kAllLanes, x, 3, 16);
  mine[5] = static_cast<int>(__shfl_xor_sync(kAllLanes, double{1} * x, 1));
}

TEST(CudaEmulator, Shuffles) {
  std::vector<int> out(64 * 6);
  run<shuffles>(1, 64, 0, out.data());
  for (int t = 0; t < 64; ++t) {
    const int* const mine = &out[static_cast<std::size_t>(t * 6)];
    EXPECT_EQ(mine[0], 100 + t / 32 * 32 + 5);
    EXPECT_EQ(mine[1], 100 + t / 8 * 8 + 5);
    EXPECT_EQ(mine[2], 100 + (t ^ 3));
    EXPECT_EQ(mine[3], 100 + (t % 16 < 3 ? t : t - 3));
    EXPECT_EQ(mine[4], 100 + (t % 16 > 12 ? t : t + 3));
    EXPECT_EQ(mine[5], 100 + (t ^ 1));
  }
}

__global__ void votes(unsigned* out) {
  const bool odd = threadIdx.x % 2 == 1;
  const unsigned half = threadIdx.x < 16 ? 0x0000ffffU : 0xffff0000U;
  unsigned* const mine = out + threadIdx.x * 5;
  mine[0] = __ballot_sync(kAllLanes, odd);
  mine[1] = __ballot_sync(half, odd);
  mine[2] = static_cast<unsigned>(__any_sync(half, threadIdx.x == 3));
  mine[3] = static_cast<unsigned>(__all_sync(half, threadIdx.x < 16));
  mine[4] = static_cast<unsigned>(__all_sync(kAllLanes, threadIdx.x != 40));
}

TEST(CudaEmulator, VotesAndMasks) {
  std::vector<unsigned> out(32 * 5);
  run<votes>(1, 32, 0, out.data());
  for (unsigned t = 0; t < 32; ++t) {
    const unsigned* const mine = &out[std::size_t{t} * 5];
    EXPECT_EQ(mine[0], 0xaaaaaaaaU);
    EXPECT_EQ(mine[1], t < 16 ? 0x0000aaaaU : 0xaaaa0000U);
    EXPECT_EQ(mine[2], t < 16 ? 1U : 0U);
    EXPECT_EQ(mine[3], t < 16 ? 1U : 0U);
    EXPECT_EQ(mine[4], 1U);
  }
}

__global__ void reductions(float* out) {
  struct Shared {
    float scratch[3];
  };
  auto& shared = static_shared<Shared>();
  const auto x = static_cast<float>(threadIdx.x);
  float* const mine = out + threadIdx.x * 4;
  mine[0] = warp_sum(x);
  mine[1] = warp_max<4>(x);
  mine[2] = block_sum<96>(x, shared.scratch);
  mine[3] = block_max<96>(-x, shared.scratch);
}

TEST(CudaEmulator, Reductions) {
  std::vector<float> out(96 * 4);
  run<reductions>(1, 96, 0, out.data());
  for (std::size_t t = 0; t < 96; ++t) {
    EXPECT_EQ(out[t * 4], static_cast<float>(t / 32 * 32 * 32 + 496));
    EXPECT_EQ(out[t * 4 + 1], static_cast<float>(t | 3));
    EXPECT_EQ(out[t * 4 + 2], 95.0F * 96 / 2);
    EXPECT_EQ(out[t * 4 + 3], 0.0F);
  }
}

__global__ void wait_but_for_thread(unsigned impatient, int* waited) {
  if (threadIdx.x == impatient) return;
  wait_for_previous_kernel();
  atomicAdd(waited, 1);
}

TEST(CudaEmulator, KernelsThatOverlapTheOneBeforeWaitForIt) {
  Stream<kTarget> stream;
  int waited = 0;
  const auto overlap = [&](unsigned impatient) {
    launch<wait_but_for_thread>(
        Launch{.grid = 2, .block = 40, .stream = stream, .overlap_previous = true}, impatient,
        &waited);
  };
  overlap(40);  // nobody
  EXPECT_EQ(waited, 80);
  try {
    overlap(33);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    expect_in_order(error.what(),
                    {"wait_but_for_thread", "(33, 0, 0)", "wait_for_previous_kernel"});
  }
  run<wait_but_for_thread>(2, 40, 0, 33U, &waited);  // does not overlap: it need not wait
}

}  // namespace
}  // namespace fvlm::emulated
