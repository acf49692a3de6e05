// Norms that are folded into GEMMs on compute capability 9.0, against Ref, which norms first: tiles
// of all sizes, blocks with one tile and with many, depths that fill no stage.
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/primitives/launch_log.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"

namespace fvlm {
namespace {

template <class Mode>
class CudaHopperNorm : public CudaDecoderTest<Mode> {
 protected:
  using Base = CudaDecoderTest<Mode>;
  using Base::kTarget;
  using typename Base::E;
  using Linear = LinearKernels<kTarget, E>;

  void SetUp() override {
    if (device_count<kTarget>() > 0 && device_properties<kTarget>().major != 9) {
      GTEST_SKIP() << "another device";
    }
    Base::SetUp();
  }

  // A matrix with a norm folded into it.
  struct Folded {
    DeviceMatrix matrix;
    DeviceNorm norm;
    float* row_sums;
  };
  Folded fold(const typename Base::Matrix& matrix, const std::vector<float>& weight,
              const std::vector<float>& shift = {}) {
    DeviceMatrix m = matrix.device;
    const std::vector<float> zeros(static_cast<std::size_t>(m.out));
    float* const sums = this->upload(zeros);
    auto* const bias = this->upload(m.bias == nullptr ? zeros : this->download(m.bias, m.out));
    auto* const weights =
        this->upload(this->download(reinterpret_cast<const E*>(m.weight), m.out * m.row_bytes / 2));
    NormFolding<kTarget>::fold(*this->stream_, this->upload(weight),
                               shift.empty() ? nullptr : this->upload(shift),
                               {weights, m.out, m.in, m.row_bytes / 2}, bias, sums);
    m.weight = reinterpret_cast<const std::byte*>(weights);
    m.bias = bias;
    const std::vector<float> ones(static_cast<std::size_t>(m.in), 1.0F);
    return {m, {.weight = this->upload(ones), .eps = 1e-6F, .folded = true}, sums};
  }

  // Rows whose means are far from zero, and from each other's.
  std::vector<float> shifted(std::int64_t rows, std::int64_t cols) {
    auto x = this->random(rows * cols);
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      auto& value = x[static_cast<std::size_t>(i)];
      value = static_cast<float>(static_cast<E>(value + static_cast<float>(i / cols % 5)));
    }
    return x;
  }

  emulator::OnDevice large_{emulator::kLargeDevice};
};
TYPED_TEST_SUITE(CudaHopperNorm, ForTargets<BFloat16Mode>, CudaModeName);

// With every tile, and with results that are stored in boxes or, as their rows are not aligned, by
// rows: the same bits.
TYPED_TEST(CudaHopperNorm, RmsNormOfGateAndUp) {
  std::set<std::string> kernels;
  for (const auto [rows, in, outputs, multiprocessors] : std::vector<std::array<std::int64_t, 4>>{
           {1, 8, 8, 132},
           {5, 104, 76, 3},
           {70, 200, 75, 132},
           {70, 200, 72, 1},
           {300, 264, 200, 2},
           {260, 640, 136, 1},
           {800, 64, 64, 1}}) {  // the last: measured far ahead of the products
    SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " -> 2 x " << outputs);
    const auto norm = this->norm(in);
    const auto gate_up = this->matrix(in, 2 * outputs, WeightFormat::kBF16, outputs == 72);
    auto x = this->activations(rows * in, 5);
    auto want = this->nothing(rows * outputs);
    this->ref_.swiglu(this->host_, rows_of(x, rows), norm.plain, gate_up.plain,
                      rows_of(want, rows));
    const auto folded = this->fold(gate_up, norm.plain.host.weight);
    std::vector<float> first;
    for (const std::int64_t padding : {8, 3}) {
      // nvcc may round a bias's sum once or twice, but always the same way in one kind of epilogue.
      if (TestFixture::kTarget == Target::kDevice) first.clear();
      for (int tile = kTileByRule; tile < kHopperPairTiles; ++tile) {
        const auto out = this->rows(this->nothing(rows * outputs), rows, padding);
        const LaunchLog log;
        TestFixture::Token::swiglu(
            *this->stream_, {.major = 9, .multiprocessors = static_cast<int>(multiprocessors)},
            {TokenPass::kPrefill, tile}, this->rows(x, rows, 8), folded.norm, folded.matrix, {},
            out);
        const auto values = this->content(out);
        if (first.empty()) {
          first = values;
          this->expect_near(values, want);
        }
        EXPECT_EQ(values, first) << "tile " << tile << ", padding " << padding;
        const auto all = this->download(out.data, out.rows * out.stride);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = outputs; c < out.stride; ++c) {
            EXPECT_TRUE(
                std::isnan(static_cast<float>(all[static_cast<std::size_t>(r * out.stride + c)])));
          }
        }
        EXPECT_EQ(log.kernels().size(), 1U);
        kernels.insert(log.kernels().at(0));
      }
    }
  }
  EXPECT_EQ(std::ssize(kernels), 2 * kHopperPairTiles);
}

// Whatever the others are, how many, and where among them it is.
TYPED_TEST(CudaHopperNorm, ARowHasTheSameBitsInAnyBatch) {
  constexpr std::int64_t kRows = 150;
  constexpr std::int64_t kIn = 904;
  constexpr std::int64_t kOut = 24;
  const auto folded =
      this->fold(this->matrix(kIn, 2 * kOut, WeightFormat::kBF16), this->random(kIn));
  const auto x = this->rows(this->activations(kRows * kIn, 3), kRows);
  const auto run = [&](std::int64_t first, std::int64_t rows, int multiprocessors) {
    const auto out = this->rows(this->nothing(rows * kOut), rows);
    TestFixture::Token::swiglu(*this->stream_, {.major = 9, .multiprocessors = multiprocessors},
                               TokenPass::kPrefill, x.slice_rows(first, rows), folded.norm,
                               folded.matrix, {}, out);
    return this->content(out);
  };
  const auto all = run(0, kRows, 1);
  EXPECT_EQ(run(0, kRows, 132), all) << "smaller tiles";
  for (const std::int64_t row : {0, 3, 77, 149}) {
    const auto one = run(row, 1, 3);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + row * kOut)) << "row " << row;
  }
}

TYPED_TEST(CudaHopperNorm, LayerNormOfPositions) {
  std::set<std::string> kernels;
  for (const auto [rows, in, outputs, multiprocessors, biased] :
       std::vector<std::array<std::int64_t, 5>>{
           {1, 8, 8, 132, 0}, {70, 96, 131, 3, 1}, {300, 264, 200, 2, 0}, {260, 640, 130, 1, 1}}) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " -> " << outputs);
    const auto weight = this->random(in);
    const auto shift = this->random(in);
    const auto qkv = this->matrix(in, outputs, WeightFormat::kBF16, biased != 0);
    auto x = this->shifted(rows, in);
    auto normed = this->nothing(rows * in);
    auto want = this->nothing(rows * outputs);
    const auto norm =
        this->ref_.pack(NormSpec{.channels = in, .bias = true, .eps = 1e-5}, {weight, shift});
    this->ref_.layer_norm(this->host_, rows_of(x, rows), norm, rows_of(normed, rows));
    this->ref_.linear(this->host_, rows_of(normed, rows), qkv.plain, {}, rows_of(want, rows));
    const auto folded = this->fold(qkv, weight, shift);
    for (int tile = 0; tile < static_cast<int>(kHopperTiles.size()); ++tile) {
      const auto out = this->rows(this->nothing(rows * outputs), rows);
      const LaunchLog log;
      TestFixture::Linear::multiply(
          *this->stream_, {.major = 9, .multiprocessors = static_cast<int>(multiprocessors)},
          {.in = this->rows(x, rows, 8),
           .weight = {reinterpret_cast<const typename TestFixture::E*>(folded.matrix.weight),
                      outputs, in, folded.matrix.row_bytes / 2},
           .bias = folded.matrix.bias,
           .activation = Activation::kNone,
           .residual = {},
           .out = out,
           .tile = tile,
           .norm = {1e-5F, folded.row_sums}});
      this->expect_near(this->content(out), want);
      kernels.insert(short_kernel_name(log.kernels().at(0)));
    }
  }
  EXPECT_EQ(kernels.size(), kHopperTiles.size() - 1);  // all but the largest
}

}  // namespace
}  // namespace fvlm
