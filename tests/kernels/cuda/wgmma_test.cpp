// wgmma with an operand in registers, as the emulator models it: what it computes, and that it
// needs its fence and its wait.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/wgmma.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

constexpr int kColumns = 64;

enum class WgmmaFault { kNone, kNoFence, kRegistersChanged };

// out [64, kColumns] = 2 a [64, 16] b [kColumns, 16]^T.
template <WgmmaFault kFault>
__global__ void multiply_twice(const BFloat16* a, const BFloat16* b, float* out) {
  auto* const shared = dynamic_shared<BFloat16>();  // rows of 64, of which 16 are used
  for (int i = static_cast<int>(threadIdx.x); i < kColumns * 16; i += 128) {
    const int row = i / 16;
    shared[row * kBoxDepth + (i % 16 / 8 ^ row % 8) * 8 + i % 8] = b[i];
  }
  __syncthreads();
  const int first = static_cast<int>(warp_id()) * 16;
  FragmentA<BFloat16> rows;
  for (int i = 0; i < 4; ++i) {
    const int row = first + static_cast<int>(lane_id()) / 4 + i % 2 * 8;
    const int at = row * 16 + static_cast<int>(lane_id()) % 4 * 2 + i / 2 * 8;
    rows.reg[i] = a[at].bits | static_cast<std::uint32_t>(a[at + 1].bits) << 16;
  }
  FragmentC sums[kColumns / 8];
  fence_products();
  multiply_registers<kColumns>(sums, rows, descriptor(shared), false);
  commit_products();
  if (kFault != WgmmaFault::kNoFence) fence_products();
  multiply_registers<kColumns>(sums, rows, descriptor(shared), true);
  commit_products();
  wait_for_products<kFault == WgmmaFault::kRegistersChanged ? 1 : 0>();
  for (std::uint32_t& reg : rows.reg) reg = 0;
  wait_for_products<0>();
  for (int j = 0; j < kColumns / 8; ++j) {
    for (int i = 0; i < 4; ++i) {
      out[(first + FragmentC::row(i)) * kColumns + 8 * j + FragmentC::col(i)] = sums[j].reg[i];
    }
  }
}

class CudaWgmma : public testing::Test {
 protected:
  // How many elements the kernel computes as they should be.
  template <WgmmaFault kFault>
  std::size_t right() {
    std::vector<float> out(std::size_t{64} * kColumns);
    run<multiply_twice<kFault>>(1, 128, kBytes, a_.data(), b_.data(), out.data());
    std::size_t count = 0;
    for (std::size_t r = 0; r < 64; ++r) {
      for (std::size_t c = 0; c < kColumns; ++c) {
        float sum = 0;
        for (std::size_t k = 0; k < 16; ++k) {
          sum += static_cast<float>(a_[r * 16 + k]) * static_cast<float>(b_[c * 16 + k]);
        }
        if (out[r * kColumns + c] == 2 * sum) ++count;
      }
    }
    return count;
  }
  std::vector<BFloat16> numbers(std::size_t count) {
    std::uniform_int_distribution<int> eighths(-8, 8);
    std::vector<BFloat16> all(count);
    for (BFloat16& x : all) x = BFloat16(static_cast<float>(eighths(random_)) / 8);
    return all;
  }

  static constexpr std::size_t kBytes = kColumns * kBoxDepth * sizeof(BFloat16);
  std::mt19937 random_{3};
  std::vector<BFloat16> a_ = numbers(std::size_t{64} * 16);
  std::vector<BFloat16> b_ = numbers(std::size_t{kColumns} * 16);
};

TEST_F(CudaWgmma, MultipliesRegistersWithSharedMemory) {
  EXPECT_EQ(right<WgmmaFault::kNone>(), std::size_t{64} * kColumns);
}

TEST_F(CudaWgmma, RegistersMustStayUntilTheProductIsWaitedFor) {
  EXPECT_LT(right<WgmmaFault::kRegistersChanged>(), std::size_t{8} * kColumns);
}

TEST_F(CudaWgmma, EachGroupNeedsAFence) {
  std::vector<float> out(std::size_t{64} * kColumns);
  expect_in_order(failure<multiply_twice<WgmmaFault::kNoFence>>(1, 128, kBytes, a_.data(),
                                                                b_.data(), out.data()),
                  {"multiply_twice", "multiply_registers (wgmma_test.cpp:", "no fence_products()"});
}

}  // namespace
}  // namespace fvlm::emulated
