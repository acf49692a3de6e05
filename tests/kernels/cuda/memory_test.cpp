// Memory in the emulator: uninitialised memory is NaN, and accesses that a device forbids are
// errors.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

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

__global__ void load_and_store(const float* from, float* to) {
  if (threadIdx.x == 7) store16(to, load16(from));
}

TEST(CudaEmulator, MisalignedAccessIsReported) {
  alignas(16) std::array<float, 8> from = {1, 2, 3, 4, 5, 6, 7, 8};
  alignas(16) std::array<float, 8> to = {};
  run<load_and_store>(2, 7, 0, from.data() + 4, to.data());
  EXPECT_EQ(to, (std::array<float, 8>{}));
  run<load_and_store>(2, 8, 0, from.data() + 4, to.data());
  EXPECT_EQ(to[3], 8);
  expect_in_order(failure<load_and_store>(1, 8, 0, from.data() + 1, to.data()),
                  {"load_and_store: block (0, 0, 0), thread (7, 0, 0): load (memory_test.cpp:",
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

}  // namespace
}  // namespace fvlm::emulated
