// The block-tiled GEMM through LinearKernels, against sums in double: every tile shape, ragged
// edges, misaligned rows, fewer and more steps along the depth than pipeline stages.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/host/tile_table.hpp"
#include "kernels/cuda/primitives/launch_log.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/emulator/device.hpp"
#include "tests/kernels/cuda/modes.hpp"

namespace fvlm {
namespace {

template <class Mode>
class CudaLinear : public testing::Test {
 protected:
  static constexpr Target kTarget = Mode::kTarget;
  using E = typename Mode::E;

  void SetUp() override {
    if (device_count<kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
  }

  struct Matrix {
    std::vector<double> values;  // as rounded to E
    PinnedBuffer<kTarget> memory;
    View<E> view;
  };

  // Rows are `padding` elements longer than their content; what is there must not be used.
  Matrix matrix(std::int64_t rows, std::int64_t cols, std::int64_t padding = 0) {
    const std::int64_t stride = cols + padding;
    Matrix m{{},
             PinnedBuffer<kTarget>(static_cast<std::size_t>(rows * stride) * sizeof(E)),
             {nullptr, rows, cols, stride}};
    m.view.data = m.memory.template as<E>();
    std::normal_distribution<float> normal;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < stride; ++c) {
        const auto value = static_cast<E>(c < cols ? normal(random_) : std::nanf(""));
        m.view.row(r)[c] = value;
        if (c < cols) m.values.push_back(double{static_cast<float>(value)});
      }
    }
    return m;
  }

  // Scratch memory for any GEMM of so many rows: NaNs, and zeros that are zeros again afterwards.
  SplitSums split(std::int64_t m, std::int64_t n, std::int64_t k) {
    const auto floats = static_cast<std::size_t>(
        LinearKernels<kTarget, E>::split_floats(m, {n, k, Rows::kPositions, WeightFormat::kBF16}));
    sums_ = PinnedBuffer<kTarget>((floats + 1) * sizeof(float));
    std::fill_n(sums_.template as<float>(), floats, std::nanf(""));
    std::fill_n(counters_.template as<unsigned>(), SplitSums::kCounters, 0U);
    return {sums_.template as<float>(), counters_.template as<unsigned>()};
  }
  bool counters_are_zero() const {
    const auto* const all = counters_.template as<unsigned>();
    return std::all_of(all, all + SplitSums::kCounters, [](unsigned n) { return n == 0; });
  }

  void expect_product(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t padding,
                      Activation activation, bool bias, bool residual, int multiprocessors) {
    SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k << ", padding " << padding);
    const Matrix a = matrix(m, k, padding);
    const Matrix b = matrix(n, k, padding);
    Matrix out = matrix(m, n, padding);
    const std::vector<double> before = out.values;
    PinnedBuffer<kTarget> added(static_cast<std::size_t>(n) * sizeof(float));
    std::normal_distribution<float> normal;
    for (std::int64_t c = 0; c < n; ++c) added.template as<float>()[c] = normal(random_);

    Stream<kTarget> stream;
    LinearKernels<kTarget, E>::multiply(stream, {device_.major, multiprocessors},
                                        {.in = a.view,
                                         .weight = b.view,
                                         .bias = bias ? added.template as<float>() : nullptr,
                                         .activation = activation,
                                         .residual = residual ? out.view : View<E>{},
                                         .out = out.view,
                                         .split = split(m, n, k)});
    stream.synchronize();
    EXPECT_TRUE(counters_are_zero());
    double difference = 0;
    double norm = 0;
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t c = 0; c < n; ++c) {
        double sum = bias ? added.template as<float>()[c] : 0.0;
        for (std::int64_t i = 0; i < k; ++i) {
          sum += a.values[static_cast<std::size_t>(r * k + i)] *
                 b.values[static_cast<std::size_t>(c * k + i)];
        }
        if (activation == Activation::kGelu) sum *= 0.5 * (1 + std::erf(sum / std::sqrt(2.0)));
        if (residual) sum += before[static_cast<std::size_t>(r * n + c)];
        const double got = static_cast<float>(out.view.row(r)[c]);
        difference += (got - sum) * (got - sum);
        norm += sum * sum;
      }
      for (std::int64_t c = n; c < out.view.stride; ++c)
        EXPECT_TRUE(std::isnan(static_cast<float>(out.view.row(r)[c])));
    }
    EXPECT_LT(std::sqrt(difference / norm), sizeof(E) == 4 ? 1e-6 : 3e-3);
  }

  PinnedBuffer<kTarget> sums_{sizeof(float)};
  PinnedBuffer<kTarget> counters_{SplitSums::kCounters * sizeof(unsigned)};
  DeviceProperties device_{};  // by default one without what only newer ones have
  std::mt19937 random_{7};
};

TYPED_TEST_SUITE(CudaLinear, CudaModes, CudaModeName);

TYPED_TEST(CudaLinear, EveryTileAndEdge) {
  // m, n, k, multiprocessors
  for (const auto& [m, n, k, multiprocessors] :
       std::vector<std::array<std::int64_t, 4>>{{1, 8, 16, 4},
                                                {3, 5, 7, 4},
                                                {16, 70, 136, 4},
                                                {17, 33, 40, 100},
                                                {65, 12, 96, 4},
                                                {70, 100, 200, 1},
                                                {150, 136, 72, 1}}) {
    for (const std::int64_t padding : {0, 8, 3}) {
      this->expect_product(m, n, k, padding, Activation::kNone, false, false,
                           static_cast<int>(multiprocessors));
    }
  }
}

TYPED_TEST(CudaLinear, ADepthInParts) {
  if (sizeof(typename TypeParam::E) == 4) GTEST_SKIP() << "the depth of float32 is whole";
  for (const auto& [m, n, k, multiprocessors] :
       std::vector<std::array<std::int64_t, 4>>{{9, 72, 2200, 4}, {130, 40, 4104, 9}}) {
    for (const bool more : {false, true}) {
      this->expect_product(m, n, k, more ? 8 : 0, more ? Activation::kGelu : Activation::kNone,
                           more, !more, static_cast<int>(multiprocessors));
    }
  }
}

TYPED_TEST(CudaLinear, TilesOfEveryShapeGiveTheSameBits) {
  constexpr std::int64_t kRows = 130;
  constexpr std::int64_t kCols = 140;
  const auto a = this->matrix(kRows, 100);
  const auto b = this->matrix(kCols, 100);
  std::set<std::size_t> tiles;
  std::vector<std::vector<float>> results;
  for (const int multiprocessors : {4, 2, 1, 100}) {
    tiles.insert(best_tile(kRows, kCols, multiprocessors));
    auto out = this->matrix(kRows, kCols);
    Stream<TestFixture::kTarget> stream;
    LinearKernels<TestFixture::kTarget, typename TypeParam::E>::multiply(
        stream, {this->device_.major, multiprocessors},
        {.in = a.view,
         .weight = b.view,
         .bias = nullptr,
         .activation = Activation::kGelu,
         .residual = {},
         .out = out.view});
    stream.synchronize();
    results.emplace_back();
    for (std::int64_t i = 0; i < kRows * kCols; ++i) {
      results.back().push_back(static_cast<float>(out.view.data[i]));
    }
    EXPECT_EQ(results.back(), results.front()) << multiprocessors << " multiprocessors";
  }
  EXPECT_EQ(tiles.size(), std::size(kTileChoices));
}

// As a table of measured tiles asks for them.
TYPED_TEST(CudaLinear, EveryTileAskedForGivesTheSameBits) {
  constexpr Target kHere = TestFixture::kTarget;
  using Element = typename TypeParam::E;
  if (sizeof(Element) == 4) GTEST_SKIP() << "float32 has one tile";
  const auto a = this->matrix(130, 136);
  const auto b = this->matrix(264, 136);
  for (const emulator::Device* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    const emulator::OnDevice on(*device);
    const int major = device_properties<kHere>().major;
    const auto product = [&](int tile, std::string& kernel) {
      auto out = this->matrix(130, 264);
      Stream<kHere> stream;
      const LaunchLog log;
      LinearKernels<kHere, Element>::multiply(stream, {.major = major, .multiprocessors = 1},
                                              {.in = a.view,
                                               .weight = b.view,
                                               .bias = nullptr,
                                               .activation = Activation::kGelu,
                                               .residual = out.view,
                                               .out = out.view,
                                               .tile = tile});
      stream.synchronize();
      kernel = short_kernel_name(log.kernels().at(0));
      std::vector<float> values;
      for (std::int64_t i = 0; i < 130 * 264; ++i) {
        values.push_back(static_cast<float>(out.view.data[i]));
      }
      return values;
    };
    const auto state = this->random_;  // of what the residual is filled with
    std::string kernel;
    const auto by_rule = product(kTileByRule, kernel);
    std::set<std::string> kernels;
    const GemmKey key{130, 264, 136, true, true};
    const int tiles = tile_count(major, key);
    for (int tile = 0; tile < tiles; ++tile) {
      this->random_ = state;
      EXPECT_EQ(product(tile, kernel), by_rule) << tile_name(major, key, tile);
      kernels.insert(kernel);
    }
    EXPECT_EQ(std::ssize(kernels), tiles);
    EXPECT_GE(tiles, 3);
  }
}

// wgmma and the tensor memory accelerator: every tile, blocks with one tile and with many, depths
// that fill no stage, as many stages as there are and more.
TYPED_TEST(CudaLinear, OnHopper) {
  constexpr Target kHere = TestFixture::kTarget;
  if (sizeof(typename TypeParam::E) == 4) GTEST_SKIP() << "float32 has no wgmma";
  const emulator::OnDevice large(emulator::kLargeDevice);
  if (device_properties<kHere>().major != 9) GTEST_SKIP() << "another device";
  this->device_.major = 9;
  for (const auto& [m, n, k, multiprocessors] :
       std::vector<std::array<std::int64_t, 4>>{{1, 8, 16, 132},
                                                {70, 96, 72, 3},
                                                {150, 200, 64, 2},
                                                {260, 136, 640, 2},
                                                {300, 330, 264, 1},
                                                {140, 136, 2200, 3},      // in two parts
                                                {270, 40, 4104, 100}}) {  // in four
    for (const bool more : {false, true}) {
      this->expect_product(m, n, k, more ? 8 : 0, more ? Activation::kGelu : Activation::kNone,
                           more, !more, static_cast<int>(multiprocessors));
    }
  }
}

TYPED_TEST(CudaLinear, RowsOnHopperDoNotDependOnTheirNumber) {
  constexpr Target kHere = TestFixture::kTarget;
  using Element = typename TypeParam::E;
  if (sizeof(Element) == 4) GTEST_SKIP() << "float32 has no wgmma";
  const emulator::OnDevice large(emulator::kLargeDevice);
  if (device_properties<kHere>().major != 9) GTEST_SKIP() << "another device";
  const auto a = this->matrix(300, 136);
  const auto b = this->matrix(264, 136);
  const auto product = [&](std::int64_t rows) {
    auto out = this->matrix(rows, 264);
    Stream<kHere> stream;
    LinearKernels<kHere, Element>::multiply(stream, {.major = 9, .multiprocessors = 6},
                                            {.in = a.view.slice_rows(0, rows),
                                             .weight = b.view,
                                             .bias = nullptr,
                                             .activation = Activation::kNone,
                                             .residual = {},
                                             .out = out.view});
    stream.synchronize();
    std::vector<float> values;
    for (std::int64_t i = 0; i < 3 * 264; ++i)
      values.push_back(static_cast<float>(out.view.data[i]));
    return values;
  };
  const auto alone = product(3);
  EXPECT_EQ(product(100), alone);
  EXPECT_EQ(product(300), alone);
}

// Each part of the depth by a block of its own or one after the other, whatever else is computed.
TYPED_TEST(CudaLinear, PartsOfTheDepthGiveTheSameBits) {
  constexpr Target kHere = TestFixture::kTarget;
  using Element = typename TypeParam::E;
  if (sizeof(Element) == 4) GTEST_SKIP() << "the depth of float32 is whole";
  constexpr std::int64_t kCols = 136;
  constexpr std::int64_t kDepth = 3304;
  ASSERT_EQ(DepthParts(kCols, kDepth).count(), 3);
  const auto a = this->matrix(200, kDepth);
  const auto b = this->matrix(kCols, kDepth);
  const auto added = this->matrix(200, kCols);
  // Of the first two parts, whose sums are so large that another order of the parts would be seen.
  constexpr std::int64_t kPart = 17 * DepthParts::kStep;
  for (std::int64_t c = 0; c < kPart; ++c) {
    for (std::int64_t r = 0; r < 200; ++r) {
      Element* const row = a.view.row(r);
      row[c] = static_cast<Element>(static_cast<float>(row[c]) * 65536);
      row[kPart + c] = static_cast<Element>(-static_cast<float>(row[c]));
    }
    for (std::int64_t r = 0; r < kCols; ++r) b.view.row(r)[kPart + c] = b.view.row(r)[c];
  }
  const auto product = [&](const DeviceShape& device, std::int64_t rows, int tile, bool spread) {
    auto out = this->matrix(rows, kCols);
    Stream<kHere> stream;
    const SplitSums split = this->split(rows, kCols, kDepth);
    LinearKernels<kHere, Element>::multiply(stream, device,
                                            {.in = a.view.slice_rows(0, rows),
                                             .weight = b.view,
                                             .bias = nullptr,
                                             .activation = Activation::kNone,
                                             .residual = added.view.slice_rows(0, rows),
                                             .out = out.view,
                                             .tile = tile,
                                             .split = split});
    stream.synchronize();
    EXPECT_TRUE(this->counters_are_zero());
    // Sums were handed over if and only if parts were spread.
    EXPECT_EQ(std::isnan(split.sums[0]), !spread);
    std::vector<float> values;
    for (std::int64_t i = 0; i < 3 * kCols; ++i) {
      values.push_back(static_cast<float>(out.view.data[i]));
    }
    return values;
  };
  for (const emulator::Device* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    const emulator::OnDevice on(*device);
    const int major = device_properties<kHere>().major;
    const int tiles = tile_count(major, {.m = 100, .n = kCols, .k = kDepth});
    EXPECT_EQ(tiles, major == 9 ? 2 : 4);
    const auto alone = product({.major = major, .multiprocessors = 1}, 3, 0, false);
    for (const std::int64_t rows : {3, 100, 200}) {
      for (const int multiprocessors : major == 9 ? std::vector{1, 5, 132} : std::vector{5}) {
        for (int tile = 0; tile < tiles; ++tile) {
          const bool spread = major == 9 ? tile == kSpreadParts : kPartTiles[tile].spread;
          EXPECT_EQ(
              product({.major = major, .multiprocessors = multiprocessors}, rows, tile, spread),
              alone)
              << rows << " rows, tile " << tile;
        }
      }
    }
  }
}

TYPED_TEST(CudaLinear, Epilogues) {
  for (const std::int64_t n : {24, 27}) {
    this->expect_product(20, n, 40, 0, Activation::kGelu, true, false, 4);
    this->expect_product(20, n, 40, 0, Activation::kNone, true, true, 4);
    this->expect_product(20, n, 40, 0, Activation::kNone, false, true, 4);
  }
}

}  // namespace
}  // namespace fvlm
