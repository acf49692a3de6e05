// GEMMs of a prompt's tokens with a weight matrix, on tensor cores: a block-tiled GEMM whose
// columns are the outputs pair by pair, as the epilogues of token_product.hpp need them.
//
// Quantised weights stay packed in shared memory and are dequantised to bfloat16 in registers: the
// two words that a lane's pair of adjacent inputs shares are one register there.
#pragma once

#include <cstdint>
#include <type_traits>

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
  __device__ void fetch(void* stage, int first_row, int first) const {
    using Tile = SwizzledTile<BFloat16, kDepth>;
    static_assert(kRows * Tile::kPieces % kThreads == 0);
    const int row_pieces = matrix.row_bytes / 16;
#pragma unroll
    for (int copy = static_cast<int>(thread_rank()); copy < kRows * Tile::kPieces;
         copy += kThreads) {
      const int row = copy / Tile::kPieces;
      const int piece = copy % Tile::kPieces;
      const int output_row = output_of(first_row + row);
      const int at = first / Tile::kPiece + piece;
      const bool inside = output_row < output.outputs && at < row_pieces;
      const std::int64_t from = inside ? std::int64_t{output_row} * matrix.row_bytes + 16 * at : 0;
      copy_async(static_cast<BFloat16*>(stage) + Tile::at(row, piece), matrix.weight + from,
                 inside);
    }
  }

  template <int kRows, int kDepth>
  __device__ static void load_b(FragmentB<BFloat16> (&b)[2], const void* stage, int row, int at) {
    RowOperand<BFloat16>::template load_b<kRows, kDepth>(b, stage, row, at);
  }

  __device__ int output_of(int column) const {
    const OutputPair pair = output.pair(column / 2);
    return column % 2 == 0 ? pair.first : pair.second;
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
  __device__ void fetch(void* memory, int first_row, int first) const {
    auto& stage = *static_cast<Stage<kRows>*>(memory);
    const DeviceMatrix& matrix = weights.matrix;
    const int thread = static_cast<int>(thread_rank());
    if (thread == 0) stage.first = first;
    for (int copy = thread; copy < kRows * kPieces; copy += kThreads) {
      const int row = copy / kPieces;
      const int piece = copy % kPieces;
      const int output = weights.output_of(first_row + row);
      const bool inside = output < weights.output.outputs;
      const std::int64_t from = inside ? std::int64_t{output} * matrix.row_bytes +
                                             first / (W::kRuns * kSlice) * kBlockBytes + piece * 16
                                       : 0;
      copy_async(place<kRows>(stage, row, piece), matrix.weight + from, inside);
      if (piece == 0) {
        const int row_inputs = matrix.row_bytes / kBlockBytes * W::kRuns * kSlice;
        stage.scales[row] = inside ? output * (row_inputs / matrix.format.group) : 0;
      }
    }
  }

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

// A stage holds 64 inputs, so that a block of quantised weights is copied once or twice. The device
// is taken for a large one.
template <class Work>
void dispatch_token_tile(std::int64_t rows, std::int64_t columns, Work&& work) {
  constexpr std::int64_t kMultiprocessors = 128;
  if (rows <= 16) return work.template operator()<TileShape<16, 64, 64, 4, 1, 4>>();
  switch (best_tile(rows, columns, kMultiprocessors)) {
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

// For any number of rows, without a norm.
template <WeightType kType>
void launch_token_tile(Stream<kTarget>& stream, const TokenInput<BFloat16>& input,
                       const TokenOutput<BFloat16>& output) {
  using A = RowOperand<BFloat16>;
  const auto b = operand<kType>(input, output);
  const std::int64_t columns = 2 * output.pairs();
  dispatch_token_tile(input.rows, columns, [&]<class Shape>() {
    launch<tile_product<Shape, A, std::remove_const_t<decltype(b)>, TokenOutput<BFloat16>>>(
        Launch{
            .grid = {(columns + Shape::kN - 1) / Shape::kN,
                     (input.rows + Shape::kM - 1) / Shape::kM},
            .block = Shape::kThreads,
            .shared_bytes = TileProduct<Shape, A, std::remove_const_t<decltype(b)>>::kSharedBytes,
            .stream = stream,
            .overlap_previous = true},
        A(input.x, input.stride, input.rows, input.weights.in), b, output, input.rows,
        input.weights.in);
  });
}

}  // namespace fvlm::FVLM_CUDA_TARGET
