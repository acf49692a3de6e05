// A DecoderBatch as the device wants it: one array of integers, for one copy, and pointers into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fvlm/ops/batch.hpp"
#include "kernels/cuda/primitives/operands.hpp"

namespace fvlm {

class BatchLayout {
 public:
  // Of a batch of so many rows in so many segments, whose sequences have so many pages each.
  static std::int64_t most_words(std::int64_t rows, std::int64_t segments, std::int64_t pages) {
    return rows * (kPlaceWords + kRangeWords + 1) + segments * pages;
  }

  BatchLayout() = default;
  BatchLayout(const DecoderBatch& batch, std::int64_t single_capacity) {
    lay_out(batch, single_capacity);
  }
  // Makes room for so many words, up to which lay_out() allocates nothing.
  void reserve(std::size_t words);
  // Lays out a batch; whether its words are others than those before. `single_capacity`: the rows
  // that attention's scratch memory was made for.
  bool lay_out(const DecoderBatch& batch, std::int64_t single_capacity);

  // What to copy to the device.
  const std::vector<std::int32_t>& words() const { return words_; }
  // The batch, with the words at this address of the device.
  DeviceBatch at(const std::int32_t* words) const;

 private:
  static constexpr std::int64_t kPlaceWords = sizeof(RowPlace) / sizeof(std::int32_t);
  static constexpr std::int64_t kRangeWords = sizeof(RowRange) / sizeof(std::int32_t);

  DeviceBatch counts_{};
  std::int64_t ranges_ = 0;  // where in words_ these begin
  std::int64_t singles_ = 0;
  std::int64_t pages_ = 0;
  std::vector<std::int32_t> words_{};
  std::vector<std::int32_t> before_{};
};

}  // namespace fvlm
