// The kernels of quantised matrices against what the formats mean, on every instruction set.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "fvlm/ops/quantise.hpp"
#include "kernels/cpu/simd/simd.hpp"
#include "tests/kernels/simd_fixture.hpp"

namespace fvlm {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::int8(32),  WeightFormat::int8(64),
                                     WeightFormat::int8(128), WeightFormat::int4(32),
                                     WeightFormat::int4(64),  WeightFormat::int4(128)};

// A random matrix [rows, in], quantised, and the same as floats [rows, padded].
struct Matrix {
  Matrix(const WeightFormat& f, std::int64_t rows, std::int64_t in)
      : format(f),
        padded(f.padded(in)),
        words(static_cast<std::size_t>(rows * f.row_bytes(in) / 2)),
        scales(static_cast<std::size_t>(rows * f.scales(in))),
        floats(static_cast<std::size_t>(rows * padded)) {
    const auto values = random(rows * in, 21);
    for (std::int64_t r = 0; r < rows; ++r) {
      auto* row_words = reinterpret_cast<std::byte*>(words.data()) + r * f.row_bytes(in);
      BFloat16* row_scales = scales.data() + r * f.scales(in);
      quantise_row(
          std::span(values).subspan(static_cast<std::size_t>(r * in), static_cast<std::size_t>(in)),
          f, row_words, row_scales);
      dequantise_row(row_words, reinterpret_cast<const std::byte*>(row_scales), f, row(r));
    }
  }
  simd::QuantisedRows view() const { return {format, words.data(), scales.data()}; }
  std::span<float> row(std::int64_t r) {
    return std::span(floats).subspan(static_cast<std::size_t>(r * padded),
                                     static_cast<std::size_t>(padded));
  }

  WeightFormat format;
  std::int64_t padded;
  std::vector<std::int16_t> words;
  std::vector<BFloat16> scales;
  std::vector<float> floats;
};

TEST_P(Simd, QuantisedInputsAreNear) {
  for (const float size : {1e-20F, 1.0F, 1e20F}) {
    const auto x = random(192, 3, size);
    std::vector<std::int16_t> q(x.size());
    const float scale = simd::quantise_input(x.data(), q.data(), std::ssize(x));
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_LE(std::fabs(x[i] - scale * static_cast<float>(q[i])), 0.502F * scale);
    }
    const auto most = [](auto a, auto b) { return std::abs(a) < std::abs(b); };
    EXPECT_EQ(std::abs(*std::ranges::max_element(q, most)), 32767);
  }
  std::vector<float> x(64);
  std::vector<std::int16_t> q(64, 5);
  EXPECT_EQ(simd::quantise_input(x.data(), q.data(), 64), 0);
  EXPECT_EQ(q, std::vector<std::int16_t>(64));
  for (const float bad : {kNaN, std::numeric_limits<float>::infinity()}) {
    x[37] = bad;
    EXPECT_TRUE(std::isnan(simd::quantise_input(x.data(), q.data(), 64)));
  }
}

TEST_P(Simd, MatvecQuantised) {
  const std::int64_t rows = 23;
  for (const WeightFormat& format : kFormats) {
    for (const std::int64_t in : {60, 128, 896, 4864}) {
      SCOPED_TRACE(name_of(format) + ", inputs " + std::to_string(in));
      Matrix matrix(format, rows, in);
      const std::int64_t padded = matrix.padded;
      const auto x = random(simd::kMaxInputs * padded, 14);
      const auto bias = random(rows, 15);
      std::vector<std::int16_t> q(x.size());
      std::vector<float> q_scales;
      for (std::int64_t i = 0; i < simd::kMaxInputs; ++i) {
        q_scales.push_back(
            simd::quantise_input(x.data() + i * padded, q.data() + i * padded, padded));
      }
      for (std::int64_t inputs = 1; inputs <= simd::kMaxInputs; ++inputs) {
        const auto residual = random(inputs * rows, 16);
        std::vector<float> out(residual);
        simd::MatVec m{.q = q.data(),
                       .q_scales = q_scales.data(),
                       .inputs = inputs,
                       .padded = padded,
                       .bias = bias.data(),
                       .out = out.data(),
                       .out_stride = rows,
                       .accumulate = true};
        simd::matvec(matrix.view(), m, 2, rows - 2);
        for (std::int64_t i = 0; i < inputs; ++i) {
          for (std::int64_t o = 0; o < rows; ++o) {
            const auto at = static_cast<std::size_t>(i * rows + o);
            double want = residual[at];
            if (o >= 2 && o < rows - 2) {
              want += bias[static_cast<std::size_t>(o)];
              for (std::int64_t k = 0; k < padded; ++k) {
                want += double{matrix.row(o)[static_cast<std::size_t>(k)]} *
                        q[static_cast<std::size_t>(i * padded + k)] *
                        q_scales[static_cast<std::size_t>(i)];
              }
            }
            ASSERT_NEAR(out[at], want, 1e-6 * static_cast<double>(padded)) << i << ", " << o;
          }
        }
        // The same bits, however many inputs there are and wherever the range begins.
        m.accumulate = false;
        m.bias = nullptr;
        simd::matvec(matrix.view(), m, 0, rows);
        for (std::int64_t i = 0; i < inputs; ++i) {
          std::vector<float> alone(static_cast<std::size_t>(rows));
          simd::MatVec single{.q = q.data() + i * padded,
                              .q_scales = q_scales.data() + i,
                              .inputs = 1,
                              .padded = padded,
                              .out = alone.data(),
                              .out_stride = rows};
          simd::matvec(matrix.view(), single, 0, 3);
          simd::matvec(matrix.view(), single, 3, rows);
          ASSERT_EQ(std::memcmp(alone.data(), out.data() + i * rows, alone.size() * sizeof(float)),
                    0)
              << "input " << i << " of " << inputs;
        }
      }
    }
  }
}

TEST_P(Simd, DequantiseIsExact) {
  for (const WeightFormat& format : kFormats) {
    Matrix matrix(format, 5, 300);
    const auto count = static_cast<std::size_t>(3 * matrix.padded);
    std::vector<float> wide(count);
    std::vector<BFloat16> narrow(count);
    simd::dequantise(matrix.view(), matrix.padded, 1, 3, wide.data());
    simd::dequantise(matrix.view(), matrix.padded, 1, 3, narrow.data());
    for (std::size_t i = 0; i < count; ++i) {
      const float want = matrix.floats[static_cast<std::size_t>(matrix.padded) + i];
      ASSERT_EQ(wide[i], want) << name_of(format) << " " << i;
      ASSERT_EQ(narrow[i].bits, BFloat16(want).bits) << name_of(format) << " " << i;
    }
  }
}

}  // namespace
}  // namespace fvlm
