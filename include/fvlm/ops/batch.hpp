// A batch of decoder rows: segments of several sequences, each with its place in the KV cache.
// Prefill, decode steps of many sequences and the verification of drafted tokens are all this.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fvlm {

// Tokens per page of the KV cache.
inline constexpr std::int64_t kPageTokens = 64;

// Rows [first_row, first_row + rows) of the batch are the tokens at positions
// [position, position + rows) of one sequence, whose earlier tokens are in the cache.
struct Segment {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t position = 0;
  std::span<const std::int32_t> pages;  // page i holds positions from kPageTokens * i on
};

struct DecoderBatch {
  // Of prompts, or of a decode step. A backend may compute the two differently, but gives a row the
  // same bits whatever others are in a batch of its kind.
  bool is_prefill = false;
  std::vector<Segment> segments;  // in order, without gaps

  std::int64_t rows() const {
    return segments.empty() ? 0 : segments.back().first_row + segments.back().rows;
  }
  // Appends the next `rows_to_add` rows of a sequence.
  void add(std::int64_t rows_to_add, std::int64_t position, std::span<const std::int32_t> pages) {
    segments.push_back({rows(), rows_to_add, position, pages});
  }
};

}  // namespace fvlm
