// What the tests of the SIMD kernels share: random numbers, and every instruction set in turn.
#pragma once

#include <gtest/gtest.h>

#include "kernels/cpu/simd/targets.hpp"
// After the targets.
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace fvlm {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

inline std::vector<float> random(std::int64_t count, unsigned seed, float size = 1) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal(0, size);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = normal(bits);
  return values;
}

// Runs each test with one instruction set at a time.
class Simd : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

}  // namespace fvlm
