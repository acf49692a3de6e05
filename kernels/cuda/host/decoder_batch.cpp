#include "kernels/cuda/host/decoder_batch.hpp"

#include <algorithm>

namespace fvlm {

void BatchLayout::reserve(std::size_t words) {
  words_.reserve(words);
  before_.reserve(words);
}

bool BatchLayout::lay_out(const DecoderBatch& batch, std::int64_t single_capacity) {
  words_.swap(before_);
  words_.clear();
  counts_ = {};
  const auto put = [this](std::int64_t word) { words_.push_back(static_cast<std::int32_t>(word)); };
  const auto narrow = [](std::int64_t n) { return static_cast<std::int32_t>(n); };
  std::int64_t pages = 0;
  for (const Segment& segment : batch.segments) {
    for (std::int64_t i = 0; i < segment.rows; ++i) {
      put(segment.position + i);
      put(pages);
    }
    pages += std::ssize(segment.pages);
    counts_.most_tokens = std::max(counts_.most_tokens, narrow(segment.position + segment.rows));
  }
  // The rows of a decode step are each attention's own, those of drafts too: so that they come out
  // the same with and without them.
  const bool single = !batch.is_prefill && batch.rows() <= single_capacity;
  ranges_ = std::ssize(words_);  // pairs, as the places before them
  if (!single) {
    for (const Segment& segment : batch.segments) {
      constexpr std::int64_t kRows = DeviceBatch::kRangeRows;
      for (std::int64_t i = 0; i < segment.rows; i += kRows) {
        put(segment.first_row + i);
        put(std::min(kRows, segment.rows - i));
      }
    }
  }
  singles_ = std::ssize(words_);
  if (single) {
    for (std::int64_t row = 0; row < batch.rows(); ++row) put(row);
  }
  pages_ = std::ssize(words_);
  for (const Segment& segment : batch.segments) {
    words_.insert(words_.end(), segment.pages.begin(), segment.pages.end());
  }
  // So a batch's graph serves while its sequences grow.
  constexpr std::int32_t kSplit = DeviceBatch::kTokenStep;
  counts_.most_tokens = (counts_.most_tokens + kSplit - 1) / kSplit * kSplit;
  counts_.rows = narrow(batch.rows());
  counts_.range_count = narrow((singles_ - ranges_) / kRangeWords);
  counts_.single_count = narrow(pages_ - singles_);
  counts_.single_capacity = narrow(single_capacity);
  return words_ != before_;
}

DeviceBatch BatchLayout::at(const std::int32_t* words) const {
  DeviceBatch batch = counts_;
  batch.places = reinterpret_cast<const RowPlace*>(words);
  batch.ranges = reinterpret_cast<const RowRange*>(words + ranges_);
  batch.singles = words + singles_;
  batch.pages = words + pages_;
  return batch;
}

}  // namespace fvlm
