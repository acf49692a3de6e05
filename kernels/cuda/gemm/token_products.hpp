// GEMMs of the decoder, for host code: activations of tokens times a weight matrix in any format,
// as a bandwidth-bound skinny GEMM for decode steps (../gemv) and as a block-tiled one for prompts.
//
// Each gives a row the same bits whatever other rows a batch has, but they differ from each other:
// so it is the kind of pass that chooses, not the number of rows. Activations, caches and scratch
// memory are 16-byte aligned.
#pragma once

#include <cstdint>

#include "fvlm/core/view.hpp"
#include "fvlm/ops/shapes.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

// Which GEMM multiplies.
enum class TokenPass : std::uint8_t { kPrefill, kDecode };
// And, in prefill, with which tile (host/tile_table.hpp), or kTileByRule.
struct TokenRoute {
  TokenPass pass;
  int tile;

  TokenRoute(TokenPass of_pass, int of_tile = kTileByRule)  // NOLINT: mostly the pass decides
      : pass(of_pass), tile(of_tile) {}
};

template <Target target, class E>
struct TokenKernels {
  // Rows of a decode pass; more are multiplied as in prefill.
  static constexpr int kDecodeRows = 64;

  struct Scratch {
    View<E> normed{};   // [rows, in], for the norm where it is not fused
    SplitSums split{};  // of split_floats() and SplitSums::kCounters, for decode passes
  };
  // For up to so many rows; of linear() linear_floats() are needed, for prompts as well.
  static std::int64_t linear_floats(std::int64_t rows, const MatrixShape& weights);
  static std::int64_t split_floats(std::int64_t rows, const MatrixShape& weights);

  // out = in W^T + b, GELU of it, or added to out.
  static void linear(Stream<target>& stream, const DeviceShape& device, TokenRoute route,
                     View<const E> in, const DeviceMatrix& weights, bool gelu, bool accumulate,
                     const SplitSums& split, View<E> out);
  // out = SiLU(gate(n)) * up(n), n = rms_norm(x), gate and up stacked in one matrix.
  static void swiglu(Stream<target>& stream, const DeviceShape& device, TokenRoute route,
                     View<const E> x, const DeviceNorm& norm, const DeviceMatrix& gate_up,
                     const Scratch& scratch, View<E> out);
  // q, k, v = qkv(rms_norm(x)); q and k rotated; k and v to the cache; query [rows, heads * dim].
  static void attention_input(Stream<target>& stream, const DeviceShape& device, TokenRoute route,
                              View<const E> x, const DeviceNorm& norm, const DeviceMatrix& qkv,
                              const DeviceAttention& attention, const DeviceBatch& batch,
                              const CacheLayer<E>& cache, const Scratch& scratch, View<E> query);
  // out = head(rms_norm(x)), of the few rows that a token is sampled for: as in decode passes.
  static void logits(Stream<target>& stream, const DeviceShape& device, View<const E> x,
                     const DeviceNorm& norm, const DeviceMatrix& head, const Scratch& scratch,
                     View<float> out);
};

}  // namespace fvlm
