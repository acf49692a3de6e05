// GEMMs of a prompt's tokens with a weight matrix, on tensor cores: a block-tiled GEMM whose
// columns are the outputs pair by pair, as the epilogues of token_product.hpp need them.
//
// Quantised weights stay packed in shared memory and are dequantised to bfloat16 in registers: the
// two words that a lane's pair of adjacent inputs shares are one register there.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/gemm/tile_parts.hpp"
#include "kernels/cuda/gemm/tile_product.hpp"
#include "kernels/cuda/gemv/token_product.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// Operand B of the GEMM: W with its outputs in pairs. See tile_operand.hpp.
template <WeightType kType>
struct TokenWeights {
  using Element = BFloat16;
  using W = Weights<kType>;

  DeviceMatrix matrix;
  TokenOutput<BFloat16> output;  // knows the pairs

  template <int kRows, int kDepth>
  static constexpr int stage_bytes() {
    return kRows * kDepth * static_cast<int>(sizeof(BFloat16));
  }

  template <int kRows, int kDepth, int kThreads>
  class Cursor {
    using Tile = SwizzledTile<BFloat16, kDepth>;
    static constexpr int kStep = kThreads / Tile::kPieces;
    static constexpr int kCopies = kRows / kStep;
    static_assert(kRows % kStep == 0 && kStep % 8 == 0);

   public:
    __device__ Cursor(const TokenWeights& weights, int first_row)
        : in_tile_(static_cast<int>(thread_rank()) / Tile::kPieces),
          piece_(static_cast<int>(thread_rank()) % Tile::kPieces) {
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        outputs_[i] = weights.output_of(first_row + in_tile_ + i * kStep);
      }
    }

    __device__ void fetch(const TokenWeights& weights, void* stage, int first) const {
      const int at = 16 * (first / Tile::kPiece + piece_);
      const bool in_row = at < weights.matrix.row_bytes;
      auto* const to = static_cast<BFloat16*>(stage) + Tile::at(in_tile_, piece_);
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        const bool inside = in_row && outputs_[i] >= 0;
        const std::int64_t from =
            inside ? std::int64_t{outputs_[i]} * weights.matrix.row_bytes + at : 0;
        copy_async(to + i * kStep * kDepth, weights.matrix.weight + from, inside);
      }
    }

   private:
    int in_tile_;
    int piece_;
    int outputs_[kCopies];  // negative: none
  };

  template <int kRows, int kDepth>
  __device__ static void load_b(FragmentB<BFloat16> (&b)[2], const void* stage, int row, int at) {
    RowOperand<BFloat16>::template load_b<kRows, kDepth>(b, stage, row, at);
  }

  // The row of W that is a column of the product; negative if there is none.
  __device__ int output_of(int column) const {
    const OutputPair pair = output.pair(column / 2);
    const int row = column % 2 == 0 ? pair.first : pair.second;
    return row < output.outputs ? row : -1;
  }
};

template <WeightType kType>
struct QuantisedTokenWeights {
  using Element = BFloat16;
  using W = Weights<kType>;
  static constexpr int kSlice = WeightFormat::kSlice;
  static constexpr int kBlockBytes = 2 * kSlice;
  static constexpr int kPieces = kBlockBytes / 16;

  TokenWeights<kType> weights;

  // The block of each row that has the step's inputs, where the row's scales begin, and the first
  // input.
  template <int kRows>
  struct Stage {
    std::byte words[kRows][kBlockBytes];
    int scales[kRows];
    int first;
    int padding[3];
  };

  template <int kRows, int kDepth>
  static constexpr int stage_bytes() {
    static_assert(kDepth <= W::kRuns * kSlice && kDepth % kSlice == 0);
    return static_cast<int>(sizeof(Stage<kRows>));
  }

  template <int kRows, int kDepth, int kThreads>
  class Cursor {
    static constexpr int kStep = kThreads / kPieces;
    static constexpr int kCopies = (kRows + kStep - 1) / kStep;

   public:
    __device__ Cursor(const QuantisedTokenWeights& operand, int first_row)
        : row_(static_cast<int>(thread_rank()) / kPieces),
          piece_(static_cast<int>(thread_rank()) % kPieces) {
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        outputs_[i] = operand.weights.output_of(first_row + row_ + i * kStep);
      }
    }

    __device__ void fetch(const QuantisedTokenWeights& operand, void* memory, int first) const {
      auto& stage = *static_cast<Stage<kRows>*>(memory);
      const DeviceMatrix& matrix = operand.weights.matrix;
      const int at = first / (W::kRuns * kSlice) * kBlockBytes + piece_ * 16;
      const int row_scales =
          matrix.row_bytes / kBlockBytes * W::kRuns * kSlice / matrix.format.group;
      if (thread_rank() == 0) stage.first = first;
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        const int row = row_ + i * kStep;
        if (kRows % kStep != 0 && row >= kRows) break;
        const bool inside = outputs_[i] >= 0;
        const std::int64_t from = inside ? std::int64_t{outputs_[i]} * matrix.row_bytes + at : 0;
        copy_async(place<kRows>(stage, row, piece_), matrix.weight + from, inside);
        if (piece_ == 0) stage.scales[row] = inside ? outputs_[i] * row_scales : 0;
      }
    }

   private:
    int row_;
    int piece_;
    int outputs_[kCopies];  // negative: none
  };

  template <int kRows, int kDepth>
  __device__ void load_b(FragmentB<BFloat16> (&b)[2], const void* memory, int row, int at) const {
    const auto& stage = *static_cast<const Stage<kRows>*>(memory);
    const int lane = static_cast<int>(lane_id());
    const int input = stage.first + at;
    const int run = input / kSlice % W::kRuns;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int of = row + i * 8 + lane / 4;
      const std::uint32_t scale =
          weights.matrix.scales[stage.scales[of] + input / weights.matrix.format.group].bits;
      const std::uint32_t scales = scale | scale << 16;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const auto* const piece = reinterpret_cast<const std::uint32_t*>(
            place<kRows>(stage, of, input % kSlice / 8 + half));
        b[i].reg[half] = multiply_pair(W::integer_pair(piece[lane % 4], run), scales);
      }
    }
  }

 private:
  // Place of a 16-byte chunk, swizzled with the row, so that eight rows have no bank conflicts.
  template <int kRows, class S>
  __device__ static auto* place(S& stage, int row, int piece) {
    return &stage.words[row][(piece ^ (row / 2 % kPieces)) * 16];
  }
};

template <WeightType kType>
auto operand(const TokenInput<BFloat16>& input, const TokenOutput<BFloat16>& output) {
  const TokenWeights<kType> weights{input.weights, output};
  if constexpr (Weights<kType>::kQuantised) {
    return QuantisedTokenWeights<kType>{weights};
  } else {
    return weights;
  }
}

// A stage holds 64 inputs, so that a block of quantised weights is copied once or twice. `tile` is
// an index of kTileChoices, or kTileByRule.
template <class Work>
void dispatch_token_tile(std::int64_t rows, std::int64_t columns, int multiprocessors, int tile,
                         Work&& work) {
  if (rows <= 16) return work.template operator()<TileShape<16, 64, 64, 4, 1, 4>>();
  switch (tile == kTileByRule ? static_cast<int>(best_tile(rows, columns, multiprocessors))
                              : tile) {
    case 0:
      return work.template operator()<TileShape<128, 128, 64, 3, 2, 2>>();
    case 1:
      return work.template operator()<TileShape<128, 64, 64, 3, 2, 2>>();
    case 2:
      return work.template operator()<TileShape<64, 64, 64, 3, 2, 2>>();
    default:
      return work.template operator()<TileShape<32, 64, 64, 4, 2, 2>>();
  }
}

// For any number of rows, without a norm. `split` as LinearKernels::split_floats() says.
template <WeightType kType>
void launch_token_tile(Stream<kTarget>& stream, int multiprocessors, int tile,
                       const TokenInput<BFloat16>& input, const SplitSums& split,
                       const TokenOutput<BFloat16>& output) {
  const RowOperand<BFloat16> a(input.x, input.stride, input.rows, input.weights.in);
  const auto b = operand<kType>(input, output);
  const std::int64_t columns = 2 * output.pairs();
  if (!a.is_whole()) {
    return launch_tile_product<RaggedTile<BFloat16>>(stream, a, b, output, input.rows, columns,
                                                     input.weights.in);
  }
  const DepthParts parts(input.weights.out, input.weights.in);
  if (output.kind == TokenOutputKind::kLinear && output.logits == nullptr && parts.count() > 1) {
    return multiply_in_parts(stream, multiprocessors, a.whole(), b, output, parts, split,
                             input.rows, columns, tile);
  }
  dispatch_token_tile(input.rows, columns, multiprocessors, tile, [&]<class Shape>() {
    launch_tile_product<Shape>(stream, a.whole(), b, output, input.rows, columns, input.weights.in);
  });
}

}  // namespace fvlm::FVLM_CUDA_TARGET
