// Tensor cores: C [16, 8] += A [16, 16] B [16, 8] by one warp, each lane holding a few elements in
// registers. E is BFloat16 or Float16, C is float. All 32 lanes must call together.
//
// Which elements a lane holds, with g = lane / 4 and t = lane % 4 (pairs of neighbouring columns of
// A and C, or rows of B; the first in the low half of a register):
//   A  reg 0: row g,     columns 2t, 2t+1      B  reg 0: rows 2t, 2t+1,     column g
//      reg 1: row g + 8, the same                 reg 1: rows 2t+8, 2t+9,   column g
//      reg 2: row g,     columns 2t+8, 2t+9    C  0, 1: row g,     columns 2t, 2t+1
//      reg 3: row g + 8, the same                 2, 3: row g + 8, the same
// A pair of C's, packed, is thus what A wants: C's of two neighbouring products are an A.
//
// ldmatrix<n> reads n matrices of 8 x 8 elements of 16 bits from shared memory. Lane 8 i + r gives
// the address of row r of matrix i: 16 bytes, a multiple of 16. Register i of a lane gets from
// matrix i row g, columns 2t, 2t+1; transposed, rows 2t, 2t+1 of column g. stmatrix_transposed, of
// compute capability 9.0, stores what ldmatrix_transposed loads.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/primitives/number.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/vec.hpp"

#ifndef __CUDACC__
#include "kernels/emulator/fragment.hpp"
#endif

namespace fvlm::FVLM_CUDA_TARGET {

template <class E>
struct FragmentA {
  std::uint32_t reg[4];
};

template <class E>
struct FragmentB {
  std::uint32_t reg[2];
};

struct FragmentC {
  float reg[4];

  // Of register i: where in C it is.
  __device__ static int row(int i) { return static_cast<int>(lane_id()) / 4 + (i / 2) * 8; }
  __device__ static int col(int i) { return static_cast<int>(lane_id()) % 4 * 2 + i % 2; }
};

namespace detail {

// d = a b + c.
template <class E>
__device__ inline void mma(FragmentC& d, const FragmentA<E>& a, const FragmentB<E>& b,
                           const FragmentC& c, [[maybe_unused]] Where where) {
  static_assert(std::is_same_v<E, BFloat16> || std::is_same_v<E, Float16>);
#ifdef __CUDACC__
  if constexpr (std::is_same_v<E, BFloat16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
        : "=f"(d.reg[0]), "=f"(d.reg[1]), "=f"(d.reg[2]), "=f"(d.reg[3])
        : "r"(a.reg[0]), "r"(a.reg[1]), "r"(a.reg[2]), "r"(a.reg[3]), "r"(b.reg[0]), "r"(b.reg[1]),
          "f"(c.reg[0]), "f"(c.reg[1]), "f"(c.reg[2]), "f"(c.reg[3]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
        : "=f"(d.reg[0]), "=f"(d.reg[1]), "=f"(d.reg[2]), "=f"(d.reg[3])
        : "r"(a.reg[0]), "r"(a.reg[1]), "r"(a.reg[2]), "r"(a.reg[3]), "r"(b.reg[0]), "r"(b.reg[1]),
          "f"(c.reg[0]), "f"(c.reg[1]), "f"(c.reg[2]), "f"(c.reg[3]));
  }
#else
  d = c;
  emulator::Mma operands{.a = a.reg, .b = b.reg, .c = d.reg};
  emulator::Block::current().meet(kAllLanes, {"mma", where}, &emulator::multiply<E>, &operands);
#endif
}

}  // namespace detail

// c += a b.
template <class E>
__device__ inline void mma(FragmentC& c, const FragmentA<E>& a, const FragmentB<E>& b,
                           Where where = Where::current()) {
  detail::mma(c, a, b, c, where);
}
// c = a b.
template <class E>
__device__ inline void first_mma(FragmentC& c, const FragmentA<E>& a, const FragmentB<E>& b,
                                 Where where = Where::current()) {
  detail::mma(c, a, b, FragmentC{}, where);
}

namespace detail {

template <int n, bool transposed>
__device__ inline void ldmatrix(std::uint32_t (&reg)[n], const void* row,
                                [[maybe_unused]] Where where) {
  static_assert(n == 1 || n == 2 || n == 4);
#ifdef __CUDACC__
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (n == 1 && !transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(reg[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (n == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(reg[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (n == 2 && !transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(reg[0]), "=r"(reg[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (n == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(reg[0]), "=r"(reg[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (!transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(reg[0]), "=r"(reg[1]), "=r"(reg[2]), "=r"(reg[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(reg[0]), "=r"(reg[1]), "=r"(reg[2]), "=r"(reg[3])
                 : "r"(address)
                 : "memory");
  }
#else
  emulator::Block& block = emulator::Block::current();
  if (lane_id() < 8 * n) {  // the others' addresses are not used
    check_aligned(row, 16, "ldmatrix", where);
    if (!block.shared().contains(row, 16)) {
      block.fail({"ldmatrix", where}, "the row is not in the block's shared memory");
    }
    count_access(row, true, 16, where);
  }
  emulator::LoadMatrix operands{.row = row, .reg = reg};
  block.meet(kAllLanes, {transposed ? "ldmatrix_transposed" : "ldmatrix", where},
             &emulator::load_matrix<n, transposed>, &operands);
#endif
}

}  // namespace detail

template <int n>
__device__ inline void ldmatrix(std::uint32_t (&reg)[n], const void* row,
                                Where where = Where::current()) {
  detail::ldmatrix<n, false>(reg, row, where);
}

template <int n>
__device__ inline void ldmatrix_transposed(std::uint32_t (&reg)[n], const void* row,
                                           Where where = Where::current()) {
  detail::ldmatrix<n, true>(reg, row, where);
}

__device__ inline void stmatrix_transposed(const std::uint32_t (&reg)[4], void* row,
                                           [[maybe_unused]] Where where = Where::current()) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(row))),
               "r"(reg[0]), "r"(reg[1]), "r"(reg[2]), "r"(reg[3])
               : "memory");
#elif !defined(__CUDACC__)
  emulator::Block& block = emulator::Block::current();
  detail::check_aligned(row, 16, "stmatrix_transposed", where);
  if (!block.shared().contains(row, 16)) {
    block.fail({"stmatrix_transposed", where}, "the row is not in the block's shared memory");
  }
  detail::count_access(row, false, 16, where);
  block.note_store(row, 16);
  emulator::StoreMatrix operands{.row = row, .reg = reg};
  block.meet(kAllLanes, {"stmatrix_transposed", where}, &emulator::store_matrix_transposed,
             &operands);
#endif
}

// Fragments from tiles in shared memory whose rows are `stride` elements apart, a multiple of 8.
// stride / 8 should be odd: then the eight rows of a matrix have no bank conflicts.

// A from a tile [16, 16].
template <class E>
__device__ inline FragmentA<E> load_a(const E* tile, int stride, Where where = Where::current()) {
  const int lane = static_cast<int>(lane_id());
  FragmentA<E> a;
  ldmatrix(a.reg, tile + lane % 16 * stride + lane / 16 * 8, where);
  return a;
}

// B from a tile [8, 16] that holds B's columns as rows: a weight matrix [out, in].
template <class E>
__device__ inline FragmentB<E> load_b(const E* tile, int stride, Where where = Where::current()) {
  const int lane = static_cast<int>(lane_id());
  FragmentB<E> b;
  ldmatrix(b.reg, tile + lane % 8 * stride + lane / 8 % 2 * 8, where);
  return b;
}

// B from a tile [16, 8] as it is: the values of attention [position, channel].
template <class E>
__device__ inline FragmentB<E> load_b_transposed(const E* tile, int stride,
                                                 Where where = Where::current()) {
  const int lane = static_cast<int>(lane_id());
  FragmentB<E> b;
  ldmatrix_transposed(b.reg, tile + lane % 16 * stride, where);
  return b;
}

// Two neighbouring B's at once: load_b of tile and tile + 8 * stride.
template <class E>
__device__ inline void load_b_pair(FragmentB<E> (&b)[2], const E* tile, int stride,
                                   Where where = Where::current()) {
  const int lane = static_cast<int>(lane_id());
  std::uint32_t reg[4];
  ldmatrix(reg, tile + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8, where);
  b[0] = {{reg[0], reg[1]}};
  b[1] = {{reg[2], reg[3]}};
}

// Likewise: load_b_transposed of tile and tile + 8.
template <class E>
__device__ inline void load_b_pair_transposed(FragmentB<E> (&b)[2], const E* tile, int stride,
                                              Where where = Where::current()) {
  const int lane = static_cast<int>(lane_id());
  std::uint32_t reg[4];
  ldmatrix_transposed(reg, tile + lane % 16 * stride + lane / 16 * 8, where);
  b[0] = {{reg[0], reg[1]}};
  b[1] = {{reg[2], reg[3]}};
}

}  // namespace fvlm::FVLM_CUDA_TARGET
