#include "kernels/cuda/host/decoder_batch.hpp"

#include <algorithm>
#include <cmath>

namespace fvlm {

BatchLayout::BatchLayout(const DecoderBatch& batch, std::int64_t single_capacity) {
  std::vector<std::int32_t> pages;
  std::vector<std::int32_t> singles;
  std::vector<std::int32_t> ranges;
  const auto narrow = [](std::int64_t n) { return static_cast<std::int32_t>(n); };
  for (const Segment& segment : batch.segments) {
    for (std::int64_t i = 0; i < segment.rows; ++i) {
      words_.push_back(narrow(segment.position + i));
      words_.push_back(narrow(std::ssize(pages)));
    }
    pages.insert(pages.end(), segment.pages.begin(), segment.pages.end());
    counts_.most_tokens = std::max(counts_.most_tokens, narrow(segment.position + segment.rows));
    if (segment.rows == 1 && std::ssize(singles) < single_capacity) {
      singles.push_back(narrow(segment.first_row));
      continue;
    }
    constexpr std::int64_t kRows = DeviceBatch::kRangeRows;
    for (std::int64_t i = 0; i < segment.rows; i += kRows) {
      ranges.push_back(narrow(segment.first_row + i));
      ranges.push_back(narrow(std::min(kRows, segment.rows - i)));
    }
  }
  // So a batch's graph serves while its sequences grow.
  constexpr std::int32_t kSplit = DeviceBatch::kSplitTokens;
  counts_.most_tokens = (counts_.most_tokens + kSplit - 1) / kSplit * kSplit;
  counts_.rows = narrow(batch.rows());
  counts_.single_count = narrow(std::ssize(singles));
  counts_.single_capacity = narrow(single_capacity);
  counts_.range_count = narrow(std::ssize(ranges) / 2);
  const auto append = [this](const std::vector<std::int32_t>& more) {
    const auto at = std::ssize(words_);
    words_.insert(words_.end(), more.begin(), more.end());
    return at;
  };
  ranges_ = append(ranges);  // pairs, as the places before them
  singles_ = append(singles);
  pages_ = append(pages);
}

DeviceBatch BatchLayout::at(const std::int32_t* words) const {
  DeviceBatch batch = counts_;
  batch.places = reinterpret_cast<const RowPlace*>(words);
  batch.ranges = reinterpret_cast<const RowRange*>(words + ranges_);
  batch.singles = words + singles_;
  batch.pages = words + pages_;
  return batch;
}

std::vector<float> rotation_table(std::int64_t positions, std::int64_t head_dim, double theta) {
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
