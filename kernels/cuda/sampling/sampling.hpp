// Samples next tokens on the device, as runtime/engine/sampler.cpp does on the host: adjusts
// logits, leaves out tokens that are not allowed, then greedy (the first of equal logits), or
// temperature, top-k, top-p, min-p and a draw.
//
// Supported are greedy decoding and top_k from 1 to kMostTopK; all else (the whole vocabulary, beam
// search) is for the host. A draw takes its number in [0, 1) from the host's generator, so that a
// seed gives the same tokens on both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/view.hpp"
#include "fvlm/ops/sampling.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// How one row's token is sampled; on the device, as it may change from step to step.
struct SamplingRow {
  double temperature = 0;  // 0: greedy
  double top_p = 1;
  double min_p = 0;
  double draw = 0;  // uniform in [0, 1)
  std::int32_t top_k = 1;
  std::int32_t mask = -1;  // which of the masks says what is allowed; -1: all is
};

// A logit of one of the rows that is adjusted.
struct RowAdjustment {
  std::int64_t row = 0;
  LogitAdjustment by{};
};

template <Target target>
struct SamplingKernels {
  static constexpr int kMostTopK = 64;
  static bool supports(double temperature, std::int64_t top_k) {
    return temperature == 0 || (top_k >= 1 && top_k <= kMostTopK);
  }

  // Adjusts logits [rows, vocab] in place, each of them once at most.
  static void adjust(Stream<target>& stream, View<float> logits, const RowAdjustment* adjustments,
                     std::int64_t count);

  // Logits, one row for each token to sample.
  struct LogitRows {
    View<const float> logits;    // [rows, vocab]
    const SamplingRow* how;      // [rows]
    const std::uint32_t* masks;  // [those that rows name, token_mask_words(vocab)]
    std::int32_t* tokens;        // [rows]: the result
  };

  static std::int64_t scratch_bytes(std::int64_t rows, std::int64_t vocab);
  static void sample(Stream<target>& stream, const LogitRows& rows, std::byte* scratch);
};

}  // namespace fvlm
