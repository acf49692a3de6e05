// The integer formats: what their bits mean, how far they are from the weights, odd values.
#include "fvlm/ops/quantise.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace fvlm {
namespace {

struct Quantised {
  std::vector<std::uint16_t> words;
  std::vector<BFloat16> scales;
};

class QuantiseTest : public testing::TestWithParam<WeightFormat> {
 protected:
  Quantised quantise(const std::vector<float>& row) const {
    const auto in = std::ssize(row);
    Quantised q{std::vector<std::uint16_t>(static_cast<std::size_t>(format_.row_bytes(in) / 2)),
                std::vector<BFloat16>(static_cast<std::size_t>(format_.scales(in)))};
    quantise_row(row, format_, reinterpret_cast<std::byte*>(q.words.data()), q.scales.data());
    return q;
  }
  std::vector<float> dequantise(const Quantised& q, std::size_t in) const {
    std::vector<float> row(in);
    dequantise_row(reinterpret_cast<const std::byte*>(q.words.data()),
                   reinterpret_cast<const std::byte*>(q.scales.data()), format_, row);
    return row;
  }
  // Weight i as the format's description says, one bit after the other.
  int integer(const Quantised& q, std::int64_t i) const {
    const int bits = format_.bits();
    const std::int64_t block = i / (32 * 16 / bits);
    const std::int64_t n = i % (32 * 16 / bits) / 32;
    const unsigned word = q.words[static_cast<std::size_t>(block * 32 + i % 32)];
    int value = 0;
    for (int b = 0; b < bits; ++b) {
      const int bit = static_cast<int>(word >> (n * bits + b) & 1);
      value += bit * (b + 1 == bits ? -(1 << b) : 1 << b);
    }
    return value;
  }
  static std::vector<float> normal(std::size_t count) {
    std::mt19937 random(11);
    std::normal_distribution<float> values(0, 0.03F);
    std::vector<float> row(count);
    for (float& w : row) w = values(random);
    return row;
  }
  float scale(const Quantised& q, std::size_t i) const {
    return static_cast<float>(q.scales[i / static_cast<std::size_t>(format_.group)]);
  }

  WeightFormat format_ = GetParam();
};

TEST_P(QuantiseTest, BitsMeanWhatTheFormatSays) {
  const auto row = normal(300);
  const Quantised q = quantise(row);
  const auto back = dequantise(q, row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    EXPECT_EQ(back[i], scale(q, i) * static_cast<float>(integer(q, static_cast<std::int64_t>(i))));
  }
  for (std::int64_t i = 300; i < format_.padded(300); ++i) EXPECT_EQ(integer(q, i), 0);
}

TEST_P(QuantiseTest, IsAsNearAsItsBitsAllow) {
  const auto row = normal(4096);
  const Quantised q = quantise(row);
  const auto back = dequantise(q, row.size());
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double e = back[i] - row[i];
    // Half a step, and as much as the extreme weight is cut.
    EXPECT_LE(std::fabs(e), std::fabs(scale(q, i)) * (format_.bits() == 8 ? 0.75 : 2.5));
    error += e * e;
    size += double{row[i]} * row[i];
  }
  EXPECT_LE(std::sqrt(error / size), format_.bits() == 8 ? 0.008 : 0.105);
}

TEST_P(QuantiseTest, KeepsMultiplesOfAPowerOfTwo) {
  std::vector<float> row(256);
  for (std::size_t i = 0; i < row.size(); ++i) {  // with the extreme in every group
    const int n = static_cast<int>(i % 32);
    row[i] = static_cast<float>(format_.bits() == 8 ? 8 * n - 127 : n % 16 - 8) / 64;
  }
  EXPECT_EQ(dequantise(quantise(row), row.size()), row);
}

TEST_P(QuantiseTest, ZerosAndTheTiniestStayZeros) {
  std::vector<float> row(128);
  row[3] = std::numeric_limits<float>::denorm_min();
  row[70] = -1e-38F;
  EXPECT_EQ(dequantise(quantise(row), row.size()), std::vector<float>(128));
}

TEST_P(QuantiseTest, WhatIsNotFiniteShowsInItsGroupAlone) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> row(512, 0.5F);
    row[256] = bad;
    const auto back = dequantise(quantise(row), row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::size_t group = static_cast<std::size_t>(format_.group);
      EXPECT_EQ(std::isnan(back[i]), i >= 256 && i < 256 + group) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantiseTest,
                         testing::Values(WeightFormat::int8(32), WeightFormat::int8(64),
                                         WeightFormat::int8(128), WeightFormat::int4(32),
                                         WeightFormat::int4(64), WeightFormat::int4(128)),
                         [](const auto& format) {
                           return std::string(name_of(format.param.type)) + "_" +
                                  std::to_string(format.param.group);
                         });

}  // namespace
}  // namespace fvlm
