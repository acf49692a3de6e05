// The emulator itself: what CUDA's functions mean, and that each mistake it is there to find is
// found.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

#include "fvlm/core/element.hpp"
#include "fvlm/core/error.hpp"
#include "kernels/cuda/async_copy.hpp"
#include "kernels/cuda/block.hpp"
#include "kernels/cuda/fragment.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/number.hpp"
#include "kernels/cuda/portable.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/cuda/vec.hpp"

namespace fvlm::emulated {
namespace {

// Runs a kernel over `grid` blocks of `block` threads.
template <auto kernel, class... Arguments>
void run(const Extent& grid, const Extent& block, std::size_t shared_bytes,
         Arguments... arguments) {
  Stream<kTarget> stream;
  launch<kernel>(
      Launch{.grid = grid, .block = block, .shared_bytes = shared_bytes, .stream = stream},
      arguments...);
}

// What the launch throws.
template <auto kernel, class... Arguments>
std::string failure(const Extent& grid, const Extent& block, std::size_t shared_bytes,
                    Arguments... arguments) {
  try {
    run<kernel>(grid, block, shared_bytes, arguments...);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

void expect_in_order(const std::string& text, const std::vector<std::string>& parts) {
  std::size_t at = 0;
  for (const std::string& part : parts) {
    at = text.find(part, at);
    ASSERT_NE(at, std::string::npos) << '"' << part << "\" is missing in: " << text;
  }
}

// Threads, blocks, barriers ----------------------------------------------------------------------

__global__ void number_all(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  atomicAdd(&out[block * threads + thread_rank()],
            static_cast<int>(threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z));
}

TEST(CudaEmulator, GridsAndBlocksOfThreeDimensions) {
  std::vector<int> out(2 * 3 * 4 * 5 * 3 * 2);
  run<number_all>({2, 3, 4}, {5, 3, 2}, 0, out.data());
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i], i % 5 + 10 * (i / 5 % 3) + 100 * (i / 15 % 2));
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
                   "16 threads from (0, 0, 0) at __shfl_sync (cuda_emulator_test.cpp:",
                   "32 threads from (16, 0, 0) at __syncthreads (cuda_emulator_test.cpp:"});
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
    EXPECT_EQ(out[127], 63);
  }
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

// Memory -----------------------------------------------------------------------------------------

__global__ void read_uninitialised(float* out) {
  struct Shared {
    float value[4];
  };
  auto& shared = static_shared<Shared>();
  out[2 * blockIdx.x] = shared.value[1];
  out[2 * blockIdx.x + 1] = to_float(dynamic_shared<BFloat16>()[3]);
  shared.value[1] = 1;
  dynamic_shared<BFloat16>()[3] = from_float<BFloat16>(1);
}

TEST(CudaEmulator, UninitialisedMemoryIsNotANumber) {
  std::vector<float> out(2 * 10, 0.0F);
  run<read_uninitialised>(10, 1, 8, out.data());
  for (const float x : out) EXPECT_TRUE(std::isnan(x));
  const DeviceBuffer<kTarget> buffer(4);
  EXPECT_TRUE(std::isnan(*buffer.as<float>()));
}

__global__ void write_behind_shared(unsigned at) {
  auto& fixed = static_shared<int>();
  fixed = 1;
  dynamic_shared<char>()[at] = 1;
}

TEST(CudaEmulator, WriteBehindSharedMemoryIsFound) {
  run<write_behind_shared>(1, 1, 100, 99U);
#ifdef __SANITIZE_ADDRESS__
  EXPECT_DEATH(run<write_behind_shared>(1, 1, 100, 100U), "use-after-poison");
#else
  expect_in_order(failure<write_behind_shared>(1, 1, 100, 100U),
                  {"write_behind_shared: block (0, 0, 0)", "behind its shared memory"});
#endif
}

__global__ void too_much_shared() {
  struct Shared {
    char bytes[48 * 1024];
  };
  static_shared<Shared>().bytes[0] = 1;
}

TEST(CudaEmulator, SharedMemoryHasTheSizeOfADevices) {
  run<too_much_shared>(1, 1, 179 * 1024);
  expect_in_order(failure<too_much_shared>(1, 1, 179 * 1024 + 4),
                  {"too_much_shared", "no shared memory is left"});
}

__global__ void load_and_store(const float* from, float* to) {
  if (threadIdx.x == 7) store16(to, load16(from));
}

TEST(CudaEmulator, MisalignedAccessIsReported) {
  alignas(16) std::array<float, 8> from = {1, 2, 3, 4, 5, 6, 7, 8};
  alignas(16) std::array<float, 8> to = {};
  run<load_and_store>(2, {4, 2}, 0, from.data() + 4, to.data());
  EXPECT_EQ(to, (std::array<float, 8>{}));
  run<load_and_store>(2, 8, 0, from.data() + 4, to.data());
  EXPECT_EQ(to[3], 8);
  expect_in_order(
      failure<load_and_store>(1, 8, 0, from.data() + 1, to.data()),
      {"load_and_store: block (0, 0, 0), thread (7, 0, 0): load (cuda_emulator_test.cpp:",
       "is no multiple of 16"});
  expect_in_order(failure<load_and_store>(1, 8, 0, from.data(), to.data() + 2),
                  {"thread (7, 0, 0): store ("});
}

__global__ void atomics(int* integers, float* sum, unsigned* once) {
  atomicAdd(&integers[0], static_cast<int>(threadIdx.x));
  atomicMax(&integers[1], static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x));
  atomicMin(&integers[2], -static_cast<int>(threadIdx.x));
  atomicAdd(sum, 0.5F);
  if (atomicCAS(once, 0U, 1U) == 0) atomicAdd(&integers[3], 1);
  if (threadIdx.x == 0) atomicExch(&integers[4], 9);
}

TEST(CudaEmulator, Atomics) {
  std::vector<int> integers(5);
  float sum = 0;
  unsigned once = 0;
  run<atomics>(20, 128, 0, integers.data(), &sum, &once);
  EXPECT_EQ(integers, (std::vector<int>{20 * 127 * 64, 20 * 128 - 1, -127, 1, 9}));
  EXPECT_EQ(sum, 20 * 64);
}

// Asynchronous copies ----------------------------------------------------------------------------

// Two copies are started, and what is there before and after each wait goes out: [4, threads].
__global__ void copies(const float* in, float* out) {
  float* const shared = dynamic_shared<float>() + threadIdx.x * 8;
  shared[0] = 1;
  shared[4] = 1;
  copy_async(shared, in + threadIdx.x * 4);
  copy_async_commit();
  copy_async<4>(shared + 4, in, false);
  copy_async_commit();
  out[threadIdx.x] = shared[0];
  copy_async_wait<1>();
  out[blockDim.x + threadIdx.x] = shared[0];
  out[2 * blockDim.x + threadIdx.x] = shared[4];
  copy_async_wait();
  out[3 * blockDim.x + threadIdx.x] = shared[4];
}

TEST(CudaEmulator, AsyncCopyIsVisibleAfterTheWait) {
  alignas(16) std::array<float, 64 * 4> in;
  std::iota(in.begin(), in.end(), 0.0F);
  std::vector<float> out(4 * 64);
  run<copies>(1, 64, 64 * 8 * sizeof(float), in.data(), out.data());
  for (std::size_t t = 0; t < 64; ++t) {
    EXPECT_TRUE(std::isnan(out[t]));
    EXPECT_EQ(out[64 + t], in[t * 4]);
    EXPECT_TRUE(std::isnan(out[128 + t]));
    EXPECT_EQ(out[192 + t], 0.0F);
  }
}

__global__ void copy_to(float* to, const float* from) {
  copy_async(to == nullptr ? dynamic_shared<float>() + 1 : to, from);
}

TEST(CudaEmulator, AsyncCopyChecksItsAddresses) {
  alignas(16) std::array<float, 8> global = {};
  expect_in_order(failure<copy_to>(1, 1, 64, global.data(), global.data()),
                  {"copy_to", "copy_async", "not in the block's shared memory"});
  expect_in_order(failure<copy_to>(1, 1, 64, static_cast<float*>(nullptr), global.data()),
                  {"copy_to", "copy_async", "no multiple of 16"});
}

// Fragments --------------------------------------------------------------------------------------

// out[lane] = the registers that ldmatrix gives.
template <int n, bool transposed>
__global__ void load_matrices(const std::uint16_t* in, std::uint32_t* out) {
  auto* const shared = dynamic_shared<std::uint16_t>();
  for (unsigned i = threadIdx.x; i < 64 * n; i += 32) shared[i] = in[i];
  __syncthreads();
  std::uint32_t reg[n];
  const auto* const row = threadIdx.x < 8 * n ? shared + threadIdx.x * 8 : nullptr;
  if constexpr (transposed) {
    ldmatrix_transposed(reg, row);
  } else {
    ldmatrix(reg, row);
  }
  for (int i = 0; i < n; ++i) out[threadIdx.x * n + static_cast<unsigned>(i)] = reg[i];
}

template <int n, bool transposed>
void expect_matrices() {
  std::vector<std::uint16_t> in(64 * n);
  std::iota(in.begin(), in.end(), std::uint16_t{0});
  std::vector<std::uint32_t> out(32 * n);
  run<load_matrices<n, transposed>>(1, 32, 128 * n, in.data(), out.data());
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t g = lane / 4;
      const std::uint32_t t = lane % 4 * 2;
      const std::uint32_t first = i * 64 + (transposed ? t * 8 + g : g * 8 + t);
      const std::uint32_t second = first + (transposed ? 8 : 1);
      EXPECT_EQ(out[lane * n + i], first + (second << 16)) << n << ", lane " << lane;
    }
  }
}

TEST(CudaEmulator, LoadMatrix) {
  expect_matrices<1, false>();
  expect_matrices<2, false>();
  expect_matrices<4, false>();
  expect_matrices<1, true>();
  expect_matrices<2, true>();
  expect_matrices<4, true>();
}

// c [16, 16] = a [16, 16] b [16, 16] by every way of loading b, whose transpose is bt.
template <class E>
__global__ void products(const E* a, const E* b, const E* bt, float* out) {
  struct Shared {
    alignas(16) E a[256];
    alignas(16) E b[256];
    alignas(16) E bt[256];
  };
  auto& shared = static_shared<Shared>();
  for (unsigned i = threadIdx.x; i < 256; i += 32) {
    shared.a[i] = a[i];
    shared.b[i] = b[i];
    shared.bt[i] = bt[i];
  }
  __syncwarp();
  FragmentB<E> pair[2];
  FragmentB<E> pair_transposed[2];
  load_b_pair(pair, shared.bt, 16);
  load_b_pair_transposed(pair_transposed, shared.b, 16);
  const FragmentA<E> fragment = load_a(shared.a, 16);
  for (int half = 0; half < 2; ++half) {
    const FragmentB<E> ways[4] = {load_b(shared.bt + half * 8 * 16, 16),
                                  load_b_transposed(shared.b + half * 8, 16), pair[half],
                                  pair_transposed[half]};
    for (int way = 0; way < 4; ++way) {
      FragmentC c = {{1, 1, 1, 1}};
      mma(c, fragment, ways[way]);
      for (int i = 0; i < 4; ++i) {
        out[(way * 16 + c.row(i)) * 16 + half * 8 + c.col(i)] = c.reg[i];
      }
    }
  }
}

template <class E>
void expect_products() {
  std::vector<E> a(256);
  std::vector<E> b(256);
  std::vector<E> bt(256);
  const auto value = [](std::size_t i) { return static_cast<float>(i * 7 % 17) - 8; };
  for (std::size_t r = 0; r < 16; ++r) {
    for (std::size_t c = 0; c < 16; ++c) {
      a[r * 16 + c] = E(value(r * 16 + c));
      b[r * 16 + c] = bt[c * 16 + r] = E(value(3 * r * 16 + c) / 4);
    }
  }
  std::vector<float> out(4 * 256);
  run<products<E>>(1, 32, 0, a.data(), b.data(), bt.data(), out.data());
  for (std::size_t i = 0; i < out.size(); ++i) {
    float sum = 1;
    for (std::size_t k = 0; k < 16; ++k) {
      sum += static_cast<float>(a[i / 16 % 16 * 16 + k]) * static_cast<float>(b[k * 16 + i % 16]);
    }
    EXPECT_EQ(out[i], sum) << i;
  }
}

TEST(CudaEmulator, TensorCoreProducts) {
  expect_products<BFloat16>();
  expect_products<Float16>();
}

TEST(CudaEmulator, PairsOfNumbers) {
  const std::uint32_t bits = pack<BFloat16>(1.5F, -2);
  EXPECT_EQ(bits, 0xc0003fc0U);
  EXPECT_EQ(unpack<BFloat16>(bits).first, 1.5F);
  EXPECT_EQ(unpack<BFloat16>(bits).second, -2.0F);
  EXPECT_EQ(pack<Float16>(1, 65504), 0x7bff3c00U);
}

}  // namespace
}  // namespace fvlm::emulated
