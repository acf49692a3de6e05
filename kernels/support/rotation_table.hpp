#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace fvlm {

// What rotary position encoding (AttentionShape) multiplies by, [positions, head_dim]: a position's
// cosines, then its sines.
inline std::vector<float> rotation_table(std::int64_t positions, std::int64_t head_dim,
                                         double theta) {
  const std::int64_t half = head_dim / 2;
  std::vector<double> steps;
  for (std::int64_t i = 0; i < half; ++i) {
    steps.push_back(std::pow(theta, -static_cast<double>(i) / static_cast<double>(half)));
  }
  std::vector<float> table;
  table.reserve(static_cast<std::size_t>(positions * head_dim));
  for (std::int64_t p = 0; p < positions; ++p) {
    const auto position = static_cast<double>(p);
    for (const double step : steps) table.push_back(static_cast<float>(std::cos(position * step)));
    for (const double step : steps) table.push_back(static_cast<float>(std::sin(position * step)));
  }
  return table;
}

}  // namespace fvlm
