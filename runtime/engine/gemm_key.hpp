// Under which key a planned GEMM's tile is kept.
#pragma once

#include <optional>

#include "kernels/cuda/host/tile_table.hpp"
#include "kernels/plan/plan.hpp"

namespace fvlm {

// Of an encoder or prefill pass. None for logits, which decode passes compute, and for feed-forward
// layers, which are two GEMMs, or one kernel.
inline std::optional<GemmKey> key_of(const PlannedGemm& gemm) {
  using Kind = PlannedGemm::Kind;
  const bool tokens = gemm.weights.rows == Rows::kTokens;
  GemmKey key{.m = tokens ? counted_rows(gemm.rows) : gemm.rows,
              .n = gemm.weights.out,
              .k = gemm.weights.in,
              .gelu = gemm.epilogue.activation == Activation::kGelu,
              .residual = gemm.epilogue.accumulate,
              .kind = tokens ? GemmKey::Kind::kTokens : GemmKey::Kind::kPositions,
              .type = gemm.weights.format.type};
  switch (gemm.kind) {
    case Kind::kLinear:
      return key;
    case Kind::kSwiglu:
      key.kind = GemmKey::Kind::kSwiglu;
      return key;
    case Kind::kAttentionInput:
      key.kind = GemmKey::Kind::kAttentionInput;
      return key;
    case Kind::kFeedForward:
    case Kind::kLogits:
      break;
  }
  return std::nullopt;
}

}  // namespace fvlm
