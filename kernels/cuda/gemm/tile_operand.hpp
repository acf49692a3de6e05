// Operands of a block-tiled GEMM: how [rows, depth] elements come into shared memory, step by step
// along the depth, and from there into registers.
//
// An operand is a small struct that a kernel gets by value, with
//   Element                  what is multiplied: BFloat16, Float16 or float
//   stage_bytes<n, k>()      shared memory that a step of [n, k] takes, a multiple of 16
//   Cursor<n, k, threads>(operand, row)    a thread's part in copying rows [row, row + n)
//     .fetch(operand, stage, at)           begins to copy of these depth [at, at + k); zeros (or,
//                            for rows, anything finite) stand in for what is beyond
//   load_b<n, k>(b, stage, row, at)        two neighbouring fragments: rows [row, row + 16) of the
//                            step, depth [at, at + 16)
// so that one whose elements are packed integers may keep those in shared memory and unpack them in
// registers. RowOperand, here, is the operand that is stored as it is multiplied.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/async_copy.hpp"
#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// A tile [rows, kDepth] in shared memory, in 16-byte chunks. A chunk's place in its row is XORed
// with the row (swizzled), so that the eight rows that ldmatrix reads have no bank conflicts.
template <class E, int kDepth>
struct SwizzledTile {
  static constexpr int kPiece = 16 / static_cast<int>(sizeof(E));  // elements
  static constexpr int kPieces = kDepth / kPiece;                  // of a row
  static_assert(kPieces == 2 || kPieces == 4 || kPieces == 8 || kPieces == 16);

  // Index of the first element of a chunk. Rows of 16-bit elements are read eight at once; rows of
  // float are read eight apart, by the threads of adjacent outputs.
  __device__ static int at(int row, int piece) {
    constexpr int kRowsInBanks = kPieces >= 8 ? 1 : 8 / kPieces;
    const int turn = sizeof(E) == 2 ? row / kRowsInBanks : row / 8;
    return (row * kPieces + (piece ^ (turn % (kPieces < 8 ? kPieces : 8)))) * kPiece;
  }
};

// Elements of a row-major matrix [rows, depth]; `stride` elements from one row to the next. Copied
// 16 bytes at a time where possible: if `aligned`, up to the last whole chunk of a row. Without
// kRagged, that is known to hold everywhere, which saves registers.
template <class E, bool kRagged = true>
struct RowOperand {
  using Element = E;

  const E* data;
  int stride;
  int rows;
  int depth;
  bool aligned;

  RowOperand() = default;
  __host__ __device__ RowOperand(const E* elements, std::int64_t row_stride, std::int64_t row_count,
                                 std::int64_t cols)
      : data(elements),
        stride(static_cast<int>(row_stride)),
        rows(static_cast<int>(row_count)),
        depth(static_cast<int>(cols)),
        aligned(row_stride * static_cast<std::int64_t>(sizeof(E)) % 16 == 0 &&
                reinterpret_cast<std::uintptr_t>(elements) % 16 == 0) {}

  // Whether kRagged is not needed; and the operand without it.
  bool is_whole() const { return aligned && depth % (16 / static_cast<int>(sizeof(E))) == 0; }
  RowOperand<E, false> whole() const { return {data, stride, rows, depth}; }

  template <int kRows, int kDepth>
  static constexpr int stage_bytes() {
    return kRows * kDepth * static_cast<int>(sizeof(E));
  }

  // A thread copies the same chunk of every kStep-th row of each step.
  template <int kRows, int kDepth, int kThreads>
  class Cursor {
    using Tile = SwizzledTile<E, kDepth>;
    static constexpr int kStep = kThreads / Tile::kPieces;
    static constexpr int kCopies = (kRows + kStep - 1) / kStep;
    static_assert(kThreads % Tile::kPieces == 0 && (kStep % 8 == 0 || kCopies == 1));

   public:
    __device__ Cursor(const RowOperand& operand, int first_row)
        : in_tile_(static_cast<int>(thread_rank()) / Tile::kPieces),
          piece_(static_cast<int>(thread_rank()) % Tile::kPieces),
          rows_(operand.rows - first_row - in_tile_),
          from_(operand.data + std::int64_t{first_row + in_tile_} * operand.stride +
                piece_ * Tile::kPiece) {}

    __device__ void fetch(const RowOperand& operand, void* stage, int first) const {
      const int left = operand.depth - first - piece_ * Tile::kPiece;  // of the row
      // Rows that are a multiple of 8 apart are swizzled alike.
      E* const to = static_cast<E*>(stage) + Tile::at(in_tile_, piece_);
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (kRows % kStep != 0 && in_tile_ + i * kStep >= kRows) break;
        const bool inside = i * kStep < rows_ && left > 0;
        const E* const from = from_ + i * kStep * std::int64_t{operand.stride} + first;
        E* const place = to + i * kStep * kDepth;
        if (!kRagged || !inside || (operand.aligned && left >= Tile::kPiece)) {
          copy_async(place, inside ? from : operand.data, inside);
        } else {
          copy_single(place, from, left);
        }
      }
    }

   private:
    int in_tile_;
    int piece_;
    int rows_;  // from the first one of this thread on
    const E* from_;
  };

  template <int kRows, int kDepth, int kThreads>
  __device__ void fetch(void* stage, int first_row, int first) const {
    Cursor<kRows, kDepth, kThreads>(*this, first_row).fetch(*this, stage, first);
  }

  template <int kRows, int kDepth>
  __device__ static void load_a(FragmentA<E>& a, const void* stage, int row, int at) {
    const int lane = static_cast<int>(lane_id());
    ldmatrix(a.reg, element<kDepth>(stage, row + lane % 16, at / 8 + lane / 16));
  }
  template <int kRows, int kDepth>
  __device__ static void load_b(FragmentB<E> (&b)[2], const void* stage, int row, int at) {
    const int lane = static_cast<int>(lane_id());
    std::uint32_t reg[4];
    ldmatrix(reg, element<kDepth>(stage, row + lane % 8 + lane / 16 * 8, at / 8 + lane / 8 % 2));
    b[0] = {{reg[0], reg[1]}};
    b[1] = {{reg[2], reg[3]}};
  }
  // Two neighbouring fragments whose depth is the tile's rows, as of the values of attention: rows
  // [row, row + 16), columns [at, at + 16).
  template <int kDepth>
  __device__ static void load_b_transposed(FragmentB<E> (&b)[2], const void* stage, int row,
                                           int at) {
    const int lane = static_cast<int>(lane_id());
    std::uint32_t reg[4];
    ldmatrix_transposed(reg, element<kDepth>(stage, row + lane % 16, at / 8 + lane / 16));
    b[0] = {{reg[0], reg[1]}};
    b[1] = {{reg[2], reg[3]}};
  }
  // The chunk [at, at + 16 bytes) of a row, for GEMMs without tensor cores.
  template <int kDepth>
  __device__ static Vec16<E> load_piece(const void* stage, int row, int piece) {
    return load16(element<kDepth>(stage, row, piece));
  }

 private:
  template <int kDepth>
  __device__ static const E* element(const void* stage, int row, int piece) {
    return static_cast<const E*>(stage) + SwizzledTile<E, kDepth>::at(row, piece);
  }
  // A chunk at the ragged end of a row or of a matrix that is not aligned: `count` elements.
  __device__ static void copy_single(E* to, const E* from, int count) {
    Vec16<E> piece;
#pragma unroll
    for (int i = 0; i < Vec16<E>::kSize; ++i) piece[i] = i < count ? from[i] : E{};
    store16(to, piece);
  }
};

}  // namespace fvlm::FVLM_CUDA_TARGET
