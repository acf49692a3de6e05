// What the emulator counts of a kernel's memory accesses; and that the hot kernels read whole
// sectors and keep clear of bank conflicts, at sizes that real models have. Their budgets say how
// many sectors, or wavefronts of shared memory, there may be for each that the bytes need.
#include "kernels/emulator/memory_trace.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/cuda/attention/attention.hpp"
#include "kernels/cuda/convolution/convolution.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm {
namespace {

using emulator::LineTraffic;
using emulator::MemoryAccess;
using emulator::MemoryTrace;

bool is_shared(const LineTraffic& line) {
  return line.access == MemoryAccess::kSharedLoad || line.access == MemoryAccess::kSharedStore;
}

std::string text(const LineTraffic& line) {
  constexpr std::array kNames = {"global load", "global store", "shared load", "shared store"};
  return fmt::format("{} {}, {}: {} requests, {} {} of {}", line.kernel, line.line,
                     kNames.at(static_cast<std::size_t>(line.access)), line.requests, line.units,
                     is_shared(line) ? "wavefronts" : "sectors", line.least);
}

}  // namespace

namespace emulated {
namespace {

template <int kStride>
__global__ void copy_strided(const float* in, float* out) {
  float* const shared = dynamic_shared<float>();
  const int i = static_cast<int>(threadIdx.x);
  store(shared + kStride * i, load<1>(in + kStride * i));
  __syncthreads();
  store(out + i, load<1>(shared + kStride * i));
}

__global__ void copy_wide(const float* in, float* out) {
  float* const shared = dynamic_shared<float>();
  const int i = 4 * static_cast<int>(threadIdx.x);
  copy_async(shared + i, in + i);
  copy_async_wait();
  __syncthreads();
  store16(out + i, load16(shared + i));
}

// The units of each kind of access, and the least of them.
template <auto kernel>
std::map<MemoryAccess, std::pair<std::int64_t, std::int64_t>> units(std::size_t floats) {
  alignas(256) static std::array<float, 4096> in{};
  alignas(256) static std::array<float, 4096> out{};
  const MemoryTrace trace;
  run<kernel>(1, 32, floats * sizeof(float), in.data(), out.data());
  std::map<MemoryAccess, std::pair<std::int64_t, std::int64_t>> all;
  for (const LineTraffic& line : trace.lines()) {
    EXPECT_EQ(line.requests, 1) << text(line);
    all[line.access] = {line.units, line.least};
  }
  return all;
}

TEST(CudaMemoryTrace, CountsSectorsAndWavefronts) {
  using enum MemoryAccess;
  auto one = units<copy_strided<1>>(32);
  EXPECT_EQ(one[kGlobalLoad], std::pair(4L, 4L));
  EXPECT_EQ(one[kGlobalStore], std::pair(4L, 4L));
  EXPECT_EQ(one[kSharedLoad], std::pair(1L, 1L));
  EXPECT_EQ(one[kSharedStore], std::pair(1L, 1L));
  auto four = units<copy_strided<4>>(128);
  EXPECT_EQ(four[kGlobalLoad], std::pair(16L, 4L));
  EXPECT_EQ(four[kSharedLoad], std::pair(4L, 1L));
  auto odd = units<copy_strided<33>>(33 * 32);
  EXPECT_EQ(odd[kGlobalLoad], std::pair(32L, 4L));
  EXPECT_EQ(odd[kSharedLoad], std::pair(1L, 1L));
  EXPECT_EQ(units<copy_strided<32>>(32 * 32)[kSharedStore], std::pair(32L, 1L));
  auto wide = units<copy_wide>(128);
  EXPECT_EQ(wide[kGlobalLoad], std::pair(16L, 16L));
  EXPECT_EQ(wide[kSharedStore], std::pair(4L, 4L));
  EXPECT_EQ(wide[kSharedLoad], std::pair(4L, 4L));
}

TEST(CudaMemoryTrace, CountsNothingWhenNobodyAsks) {
  EXPECT_EQ(MemoryTrace::current(), nullptr);
  { const MemoryTrace trace; }
  EXPECT_EQ(MemoryTrace::current(), nullptr);
}

}  // namespace
}  // namespace emulated

namespace {

// How much more than the least the requests of a file's lines may take.
struct Budget {
  std::string_view file;
  MemoryAccess access;
  double units;
};

class CudaMemoryTraffic : public CudaDecoderTest<BFloat16Mode<Target::kEmulated>> {
 protected:
  // Lines without a budget take no more than they must.
  template <class Work>
  void expect_traffic(const Work& work, const std::vector<Budget>& budgets = {}) {
    const MemoryTrace trace;
    work();
    stream_->synchronize();
    EXPECT_FALSE(trace.lines().empty());
    for (const LineTraffic& line : trace.lines()) {
      double allowed = 1;
      for (const Budget& budget : budgets) {
        if (line.access == budget.access && line.line.starts_with(budget.file)) {
          allowed = budget.units;
        }
      }
      EXPECT_LE(static_cast<double>(line.units), allowed * static_cast<double>(line.least))
          << text(line);
    }
  }

  View<E> activations_of(std::int64_t rows, std::int64_t cols) {
    return this->rows(activations(rows * cols), rows);
  }
};

TEST_F(CudaMemoryTraffic, DecodeSteps) {
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(64), WeightFormat::int4(64)}) {
    const auto weights = matrix(896, 128, format);
    for (const std::int64_t rows : {1, 8, 32, 64}) {
      const auto x = activations_of(rows, 896);
      const auto out = activations_of(rows, 128);
      const SplitSums split = scratch_of(rows, weights).split;
      expect_traffic(
          [&] {
            Token::linear(*stream_, kAnywhere, TokenPass::kDecode, x, weights.device, false, false,
                          split, out);
          },
          {{"skinny_gemm.hpp", MemoryAccess::kSharedLoad, 2}});  // the sums, once a block
    }
  }
}

TEST_F(CudaMemoryTraffic, Prefill) {
  constexpr std::int64_t kRows = 150;
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(64), WeightFormat::int4(64)}) {
    const auto weights = matrix(896, 256, format);
    const auto norm = this->norm(896);
    const auto x = activations_of(kRows, 896);
    const auto scratch = activations_of(kRows, 896);
    const auto half = activations_of(kRows, 128);
    const auto whole = activations_of(kRows, 256);
    each_product([&](const DeviceShape& device, TokenPass pass) {
      if (pass == TokenPass::kDecode) return;
      expect_traffic(
          [&] {
            Token::swiglu(*stream_, device, pass, x, norm.device, weights.device,
                          {.normed = scratch}, half);
          },
          {{"row_access.hpp", MemoryAccess::kGlobalLoad,
            2}});  // of the norm, from L1 the second time
      DeviceNorm folded = norm.device;
      folded.folded = true;
      expect_traffic(
          [&] {
            Token::swiglu(*stream_, device, pass, x, folded, weights.device, {.normed = scratch},
                          half);
          },
          {{"row_access.hpp", MemoryAccess::kGlobalLoad, 2}});
      expect_traffic([&] {
        Token::linear(*stream_, device, pass, x, weights.device, false, true, {}, whole);
      });
    });
  }
}

TEST_F(CudaMemoryTraffic, LinearLayers) {
  const auto in = activations_of(300, 384);
  const auto weight = activations_of(192, 384);
  const auto out = activations_of(300, 192);
  const float* const bias = upload(random(192));
  const auto multiply = [&](const DeviceShape& device) {
    expect_traffic(
        [&] {
          LinearKernels<kTarget, E>::multiply(*stream_, device,
                                              {.in = in,
                                               .weight = weight,
                                               .bias = bias,
                                               .activation = Activation::kGelu,
                                               .residual = out,
                                               .out = out});
        },
        {{"row_access.hpp", MemoryAccess::kGlobalLoad, 2}});  // biases, from L1 the second time
  };
  for (const int multiprocessors : {1, 4, 16}) {
    multiply({.major = 8, .multiprocessors = multiprocessors});
  }
  const emulator::OnDevice large(emulator::kLargeDevice);
  for (const int multiprocessors : {2, 16}) {
    multiply({.major = 9, .multiprocessors = multiprocessors});
  }
}

TEST_F(CudaMemoryTraffic, ImageAttention) {
  for (const std::int64_t dim : {32, 64}) {
    const auto qkv = activations_of(128, 3 * 64);
    const auto out = activations_of(128, 64);
    expect_traffic(
        [&] { ImageAttentionKernels<kTarget, E>::attention(*stream_, qkv, 1, dim, out); },
        {{"image_attention.cu", MemoryAccess::kGlobalStore, 2}});  // 16 bytes of a row at once
  }
}

TEST_F(CudaMemoryTraffic, Convolutions) {
  const auto in = activations_of(256, 96);
  const auto out = activations_of(256, 96);
  const float* const weight = upload(random(49 * 96));
  const float* const bias = upload(random(96));
  const FeatureMap<E> to{out.data, 1, 16, 16, 96};
  for (const std::int64_t kernel : {3, 7}) {
    expect_traffic([&] {
      DepthwiseKernels<kTarget, E>::depthwise(
          *stream_, {in.data, 1, 16, 16, 96},
          {.weight = weight, .bias = bias, .kernel = kernel, .stride = 1, .multiplier = 1},
          Activation::kNone, to);
    });
  }
  const std::uint8_t* const pixels = upload(std::vector<std::uint8_t>(64 * 64 * 3, 100));
  const float* const conv = upload(random(27 * 96));
  expect_traffic(
      [&] {
        StemKernels<kTarget, E>::stem(
            *stream_, {pixels, 1, 64, 64, 3}, {conv, bias},
            {.weight = weight, .bias = bias, .kernel = 3, .stride = 2, .multiplier = 1}, to);
      },
      {{"stem_tile.hpp", MemoryAccess::kSharedLoad, 1.75}});  // pixels are three bytes apart
}

}  // namespace
}  // namespace fvlm
