// Samples next tokens on the device, as runtime/engine/sampler.cpp does on the host: repetition
// penalty, then greedy (the first of equal logits), or temperature, top-k, top-p and a draw.
//
// Supported are greedy decoding and top_k from 1 to kMostTopK; all else (the whole vocabulary, beam
// search) is for the host. A draw takes its number in [0, 1) from the host's generator, so that a
// seed gives the same tokens on both.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// How one row's token is sampled; on the device, as it may change from step to step.
struct SamplingRow {
  double temperature = 0;  // 0: greedy
  double top_p = 1;
  double repetition_penalty = 1;
  double draw = 0;  // uniform in [0, 1)
  std::int32_t top_k = 1;
};

template <Target target>
struct SamplingKernels {
  static constexpr int kMostTopK = 64;
  static bool supports(double temperature, std::int64_t top_k) {
    return temperature == 0 || (top_k >= 1 && top_k <= kMostTopK);
  }

  // Logits, one row for each token to sample. `seen` has a bit for each token of the vocabulary,
  // set for those that a row's penalty lowers, in rows of seen_words 32-bit words; the chosen token
  // is added. May be null: no penalty.
  struct LogitRows {
    View<const float> logits;  // [rows, vocab]
    const SamplingRow* how;    // [rows]
    std::uint32_t* seen;       // [rows, seen_words]
    std::int64_t seen_words;
    std::int32_t* tokens;  // [rows]: the result
  };

  static std::int64_t scratch_bytes(std::int64_t rows, std::int64_t vocab);
  static void sample(Stream<target>& stream, const LogitRows& rows, std::byte* scratch);
};

}  // namespace fvlm
