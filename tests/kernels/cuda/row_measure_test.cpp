// What is measured of a row for its norm: the same bits wherever in a tile the row is, and by tiles
// of every size.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "kernels/cuda/gemm/hopper/norm.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

// Rows that are all the same, of two stages: [2 * 64].
template <int kM>
__global__ void measure_same_rows(const BFloat16* row, RowScales<kM>* out) {
  auto* const stage = dynamic_shared<BFloat16>();
  RowMeasure<kM, DeviationOfRows> rows(static_cast<int>(warp_id()));
  for (int half = 0; half < 2; ++half) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kM * kBoxDepth; i += 96) {
      const int r = i / kBoxDepth;
      const int piece = i % kBoxDepth / 8;
      stage[r * kBoxDepth + (piece ^ r % 8) * 8 + i % 8] = row[half * kBoxDepth + i % kBoxDepth];
    }
    __syncthreads();
    rows.add(reinterpret_cast<const std::byte*>(stage));
  }
  rows.write({1e-5F, nullptr, 0}, 2 * kBoxDepth, *out);
}

template <int kM>
void expect_same(const std::vector<BFloat16>& row, std::set<float>& scales,
                 std::set<float>& means) {
  RowScales<kM> out;
  run<measure_same_rows<kM>>(1, 96, kM * kBoxDepth * sizeof(BFloat16), row.data(), &out);
  scales.insert(std::begin(out.scale), std::end(out.scale));
  means.insert(std::begin(out.mean), std::end(out.mean));
}

TEST(CudaRowMeasure, IsTheSameWhereverARowIs) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(1, 3);
  std::vector<BFloat16> row(2 * kBoxDepth);
  double sum = 0;
  double squares = 0;
  for (BFloat16& x : row) {
    x = BFloat16(normal(random));
    sum += double{static_cast<float>(x)};
    squares += std::pow(double{static_cast<float>(x)}, 2);
  }
  std::set<float> scales;
  std::set<float> means;
  expect_same<64>(row, scales, means);
  expect_same<128>(row, scales, means);
  EXPECT_EQ(scales.size(), 1U);
  EXPECT_EQ(means.size(), 1U);
  const double mean = sum / 128;
  EXPECT_NEAR(*means.begin(), mean, 1e-5);
  EXPECT_NEAR(*scales.begin(), 1 / std::sqrt(squares / 128 - mean * mean + 1e-5), 1e-5);
}

}  // namespace
}  // namespace fvlm::emulated
