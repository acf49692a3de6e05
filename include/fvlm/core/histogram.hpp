// How often values were at most each of some bounds, and their sum.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace fvlm {

class Histogram {
 public:
  // `bounds` ascend.
  explicit Histogram(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void add(double value) {
    const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
    sum_ += value;
  }

  std::span<const double> bounds() const { return bounds_; }
  // Values up to each bound and above the one before; the last are those above all bounds.
  std::span<const std::int64_t> counts() const { return counts_; }
  std::int64_t count() const {
    return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
  }
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::int64_t> counts_;
  double sum_ = 0;
};

}  // namespace fvlm
