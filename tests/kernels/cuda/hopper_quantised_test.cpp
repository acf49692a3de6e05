// GEMMs of a prompt with quantised weights on compute capability 9.0, against Ref: tiles of all
// sizes, groups that begin and end within a stage, blocks with one tile and with many.
#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/primitives/launch_log.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"

namespace fvlm {
namespace {

template <class Mode>
class CudaHopperQuantised : public CudaDecoderTest<Mode> {
 protected:
  using Base = CudaDecoderTest<Mode>;
  using Base::kTarget;
  using typename Base::Token;
  static constexpr int kTiles = static_cast<int>(std::size(kQuantisedTiles));

  void SetUp() override {
    if (device_count<kTarget>() > 0 && device_properties<kTarget>().major != 9) {
      GTEST_SKIP() << "another device";
    }
    Base::SetUp();
  }

  // The result of run(route, padding) with every tile, and that of the rule for `multiprocessors`,
  // stored in boxes, if possible, and by rows, which are longer than their content by a padding:
  // all the same, and near `want`.
  template <class Run>
  void expect_every_tile(const std::vector<float>& want, const Run& run) {
    std::set<std::string> kernels;
    std::vector<float> first;
    for (const std::int64_t padding : {8, 3}) {
      for (int tile = kTileByRule; tile < kTiles; ++tile) {
        const LaunchLog log;
        const auto values = run(TokenRoute(TokenPass::kPrefill, tile), padding);
        if (first.empty()) {
          this->expect_near(values, want);
          first = values;
        }
        EXPECT_EQ(values, first) << "tile " << tile << ", padding " << padding;
        const std::string kernel = short_kernel_name(log.kernels().back());
        EXPECT_NE(kernel.find("quantised_product"), std::string::npos) << kernel;
        if (tile != kTileByRule) kernels.insert(kernel);
      }
    }
    EXPECT_EQ(std::ssize(kernels), kTiles);
  }

  emulator::OnDevice large_{emulator::kLargeDevice};
};
TYPED_TEST_SUITE(CudaHopperQuantised, ForTargets<BFloat16Mode>, CudaModeName);

const std::vector<WeightFormat>& quantised_formats() {
  static const std::vector<WeightFormat> all = {WeightFormat::int8(32),  WeightFormat::int8(64),
                                                WeightFormat::int8(128), WeightFormat::int4(32),
                                                WeightFormat::int4(64),  WeightFormat::int4(128)};
  return all;
}

TYPED_TEST(CudaHopperQuantised, LinearWithTilesOfEverySize) {
  for (const WeightFormat& format : quantised_formats()) {
    for (const auto [rows, in, out, multiprocessors] :
         std::vector<std::array<std::int64_t, 4>>{{1, 8, 5, 132},
                                                  {64, 64, 128, 4},
                                                  {70, 104, 131, 3},
                                                  {300, 264, 200, 1},
                                                  {130, 1544, 65, 2}}) {
      SCOPED_TRACE(testing::Message()
                   << name_of(format) << ", " << rows << " rows, " << in << " -> " << out);
      const auto matrix = this->matrix(in, out, format, true);
      auto x = this->activations(rows * in);
      const auto before = this->activations(rows * out);
      auto want = before;
      this->ref_.linear(this->host_, rows_of(x, rows), matrix.plain, {.accumulate = true},
                        rows_of(want, rows));
      const auto from = this->rows(x, rows, 8);
      this->expect_every_tile(want, [&](TokenRoute route, std::int64_t padding) {
        const auto to = this->rows(before, rows, padding);
        TestFixture::Token::linear(
            *this->stream_, {.major = 9, .multiprocessors = static_cast<int>(multiprocessors)},
            route, from, matrix.device, false, true, {}, to);
        return this->content(to);
      });
    }
  }
}

TYPED_TEST(CudaHopperQuantised, GateAndUpWithTilesOfEverySize) {
  for (const WeightFormat& format : quantised_formats()) {
    for (const auto [rows, in, outputs, multiprocessors] : std::vector<std::array<std::int64_t, 4>>{
             {5, 104, 75, 132}, {70, 200, 76, 3}, {260, 136, 200, 1}}) {
      SCOPED_TRACE(testing::Message()
                   << name_of(format) << ", " << rows << " rows, " << in << " -> 2 x " << outputs);
      const auto norm = this->norm(in);
      const auto gate_up = this->matrix(in, 2 * outputs, format);
      auto x = this->activations(rows * in, 5);
      auto want = this->nothing(rows * outputs);
      this->ref_.swiglu(this->host_, rows_of(x, rows), norm.plain, gate_up.plain,
                        rows_of(want, rows));
      const auto from = this->rows(x, rows);
      const auto normed = this->rows(this->nothing(rows * in), rows);
      this->expect_every_tile(want, [&](TokenRoute route, std::int64_t padding) {
        const auto out = this->rows(this->nothing(rows * outputs), rows, padding);
        TestFixture::Token::swiglu(
            *this->stream_, {.major = 9, .multiprocessors = static_cast<int>(multiprocessors)},
            route, from, norm.device, gate_up.device, {.normed = normed}, out);
        return this->content(out);
      });
    }
  }
}

// Of a long depth: near Ref, and with the same bits whatever the number of rows and of blocks, and
// whether parts are a block's own.
TYPED_TEST(CudaHopperQuantised, PartsOfTheDepthGiveTheSameBits) {
  constexpr std::int64_t kIn = 2120;
  constexpr std::int64_t kOut = 200;
  constexpr std::int64_t kRows = 140;
  const auto x = this->activations(kRows * kIn);
  const auto from = this->rows(x, kRows);
  for (const WeightFormat& format : {WeightFormat::int8(), WeightFormat::int8(32),
                                     WeightFormat::int4(), WeightFormat::int4(32)}) {
    const auto matrix = this->matrix(kIn, kOut, format, true);
    std::vector<float> first_rows;
    for (const std::int64_t rows : {3, 64, 140}) {
      const auto split = this->scratch_of(rows, matrix).split;
      const auto multiply = [&](int tile, int multiprocessors, bool accumulate, const auto& out) {
        const LaunchLog log;
        TestFixture::Token::linear(*this->stream_, {.major = 9, .multiprocessors = multiprocessors},
                                   {TokenPass::kPrefill, tile}, from.slice_rows(0, rows),
                                   matrix.device, false, accumulate, split, out);
        EXPECT_NE(log.kernels().back().find("DepthInParts"), std::string::npos);
      };
      auto some = x;
      some.resize(static_cast<std::size_t>(rows * kIn));
      auto want = this->nothing(rows * kOut);
      this->ref_.linear(this->host_, rows_of(some, rows), matrix.plain, {}, rows_of(want, rows));
      const auto product = this->rows(this->nothing(rows * kOut), rows, 8);
      multiply(kTileByRule, 132, false, product);
      this->expect_near(this->content(product), want);

      std::vector<float> all;
      for (int tile = kTileByRule; tile < static_cast<int>(kQuantisedParts.size()); ++tile) {
        for (const int multiprocessors : {1, 132}) {
          const auto left = this->residue(rows, kOut, [&](bool accumulate, const auto& out) {
            multiply(tile, multiprocessors, accumulate, out);
          });
          if (all.empty()) all = left;
          EXPECT_EQ(left, all) << name_of(format) << ", " << rows << " rows, tile " << tile << ", "
                               << multiprocessors << " SMs";
        }
      }
      all.resize(3 * kOut);
      if (first_rows.empty()) first_rows = all;
      EXPECT_EQ(all, first_rows) << name_of(format) << ", " << rows << " rows";
    }
  }
}

TYPED_TEST(CudaHopperQuantised, ARowHasTheSameBitsInAnyBatch) {
  constexpr std::int64_t kRows = 130;
  constexpr std::int64_t kIn = 392;
  constexpr std::int64_t kOut = 24;
  for (const WeightFormat& format : {WeightFormat::int8(), WeightFormat::int4()}) {
    const auto matrix = this->matrix(kIn, kOut, format);
    const auto x = this->rows(this->activations(kRows * kIn), kRows);
    const auto run = [&](std::int64_t first, std::int64_t rows) {
      const auto out = this->rows(this->nothing(rows * kOut), rows);
      TestFixture::Token::linear(*this->stream_, {.major = 9, .multiprocessors = 2},
                                 TokenPass::kPrefill, x.slice_rows(first, rows), matrix.device,
                                 false, false, {}, out);
      return this->content(out);
    };
    const auto all = run(0, kRows);
    for (std::int64_t rows = 1; rows < kRows; ++rows) {
      const auto some = run(0, rows);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << rows << " rows";
      const auto one = run(rows, 1);
      EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + rows * kOut)) << "row " << rows;
    }
  }
}

}  // namespace
}  // namespace fvlm
