// Arguments of kernels: device pointers with shapes, passed by value. What changes from step to
// step (positions, pages, which rows exist) is behind a pointer, so that a captured CUDA graph can
// be replayed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/element.hpp"
#include "fvlm/core/view.hpp"
#include "fvlm/ops/weight_format.hpp"

namespace fvlm {

// W [out, in] in any format of weight_format.hpp, rows as they are stored there. A row takes
// row_bytes, which must be a multiple of 16, as must the address; floating-point rows have zeros
// between their last weight and the next row.
struct DeviceMatrix {
  const std::byte* weight = nullptr;
  const BFloat16* scales = nullptr;  // [out, scales a row], of quantised formats
  const float* bias = nullptr;       // [out], or null
  int out = 0;
  int in = 0;
  int row_bytes = 0;
  WeightFormat format{};

  // The row_bytes of a row of `in` weights.
  static constexpr std::int64_t bytes_of_row(const WeightFormat& format, std::int64_t in) {
    if (format.is_quantised()) return format.row_bytes(in);
    return (in * format.bits() / 8 + 15) / 16 * 16;
  }
};

// A matrix with its bias, in the type of the activations.
template <class E>
struct Layer {
  View<const E> weight;         // [out, in]
  const float* bias = nullptr;  // [out], or null
};

// x / sqrt(mean of x^2 + eps) * weight.
struct DeviceNorm {
  const float* weight = nullptr;  // [channels]; null: no norm
  float eps = 0;
  bool folded = false;  // it is multiplied into the matrix behind, and ones here
};

// Scratch memory of blocks that share the depth of a GEMM: the last of them adds their sums. The
// counters are zero before and after each GEMM.
struct SplitSums {
  static constexpr std::int64_t kCounters = 2112;  // enough for each GEMM

  float* sums = nullptr;
  unsigned* counters = nullptr;
};

// Where a row's token is: its position, and where in DeviceBatch::pages its sequence's list begins.
struct RowPlace {
  std::int32_t position;  // negative: there is no row, and nothing is read or written for it
  std::int32_t first_page;
};

// Neighbouring rows that are neighbouring tokens of one sequence.
struct RowRange {
  std::int32_t first_row;
  std::int32_t rows;  // perhaps 0
};

// A DecoderBatch on the device (decoder_batch.hpp makes it). The rows are in `singles`, of a decode
// step, or in `ranges`; the counts are those of the launched grids.
struct DeviceBatch {
  int rows = 0;
  const RowPlace* places = nullptr;       // [rows]
  const std::int32_t* pages = nullptr;    // the sequences' lists of pages, one after the other
  const std::int32_t* singles = nullptr;  // [single_count] rows
  int single_count = 0;
  int single_capacity = 0;           // the rows that attention's scratch memory was made for
  const RowRange* ranges = nullptr;  // [range_count], each of at most kRangeRows rows
  int range_count = 0;
  int most_tokens = 0;  // no row attends to more; a multiple of kTokenStep

  static constexpr int kRangeRows = 32;
  static constexpr int kTokenStep = 256;  // sequences grow by so much from one grid to the next
};

// One layer of the KV cache. A page holds, for each kv head, the keys of its tokens and then the
// values: [pages, kv_heads, 2, kPageTokens, head_dim]. So what a block of an attention kernel reads
// of a page is contiguous, token after token, as asynchronous copies and fragments need it.
template <class E>
struct CacheLayer {
  E* data = nullptr;
  int kv_heads = 0;
  int head_dim = 0;
};

// What attention has to know of the model. Rotations are a table [positions, head_dim]: the cosines
// of a position's angles, then their sines, computed in double on the host.
struct DeviceAttention {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  const float* rotations = nullptr;
};

}  // namespace fvlm
