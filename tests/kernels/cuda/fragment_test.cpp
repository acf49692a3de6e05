// Tensor cores in the emulator: the layouts that fragment.hpp describes, and their products.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

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

// What ldmatrix_transposed loads, stored elsewhere by stmatrix_transposed.
__global__ void copy_matrices(const std::uint16_t* in, std::uint16_t* out) {
  auto* const shared = dynamic_shared<std::uint16_t>();
  for (unsigned i = threadIdx.x; i < 256; i += 32) shared[i] = in[i];
  __syncthreads();
  std::uint32_t reg[4];
  ldmatrix_transposed(reg, shared + threadIdx.x * 8);
  stmatrix_transposed(reg, shared + 256 + threadIdx.x * 8);
  __syncthreads();
  for (unsigned i = threadIdx.x; i < 256; i += 32) out[i] = shared[256 + i];
}

TEST(CudaEmulator, StoreMatrixIsTheInverseOfLoadMatrix) {
  std::vector<std::uint16_t> in(256);
  std::iota(in.begin(), in.end(), std::uint16_t{0});
  std::vector<std::uint16_t> out(256);
  run<copy_matrices>(1, 32, 1024, in.data(), out.data());
  EXPECT_EQ(out, in);
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
