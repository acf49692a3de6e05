#include "kernels/emulator/tensor_memory.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/tensor_map.hpp"
#include "kernels/emulator/fragment.hpp"

namespace fvlm::emulator {
namespace {

constexpr unsigned kDepth = 16;  // of a product

// Row `row` of an operand, by its descriptor: the address in units of 16 bytes, and the distance of
// groups of eight rows. Swizzling moves 16 bytes together.
void load_row(const SharedMemory& shared, std::uint64_t descriptor, unsigned row,
              float (&values)[kDepth]) {
  constexpr unsigned kPiece = 8;
  const auto start = static_cast<std::uintptr_t>(descriptor & 0x3fffU) << 4;
  const auto group = static_cast<std::uintptr_t>(descriptor >> 32 & 0x3fffU) << 4;
  const auto address = start + row / 8 * group + row % 8 * std::uintptr_t{kBoxRowBytes};
  for (unsigned k = 0; k < kDepth; k += kPiece) {
    BFloat16 piece[kPiece];
    std::memcpy(piece, shared.dynamic() + swizzled(address + sizeof(BFloat16) * k), sizeof(piece));
    for (unsigned i = 0; i < kPiece; ++i) values[k + i] = static_cast<float>(piece[i]);
  }
}

}  // namespace

void Barriers::complete(Barrier& b) {
  if (b.missing > 0 || b.bytes != 0) return;
  b.missing = b.arrivals;
  ++b.phase;
}

void Barriers::copy(const void* barrier, std::byte* to, const Matrix& matrix, std::int64_t row,
                    std::int64_t column) {
  std::memset(to, 0xFF, static_cast<std::size_t>(matrix.box_rows * matrix.box_row_bytes));
  barriers_.at(barrier).copies.push_back({to, matrix, row, column});
}

void Barriers::deliver(const Copy& copy) {
  const Matrix& m = copy.matrix;
  constexpr std::int64_t kPiece = 16;
  for (std::int64_t r = 0; r < m.box_rows; ++r) {
    for (std::int64_t at = 0; at < m.box_row_bytes; at += kPiece) {
      const auto place = static_cast<std::uintptr_t>(r * m.box_row_bytes + at);
      std::byte* const to = copy.to + swizzled(place, m.box_row_bytes);
      const std::int64_t row = copy.row + r;
      const std::int64_t column = copy.column + at;
      const bool inside = row >= 0 && row < m.rows;
      const auto left = inside ? std::clamp<std::int64_t>(m.row_bytes - column, 0, kPiece) : 0;
      std::memset(to, 0, kPiece);
      if (left > 0) {
        std::memcpy(to, m.data + row * m.stride_bytes + column, static_cast<std::size_t>(left));
      }
    }
  }
}

bool Barriers::has_passed(const void* barrier, unsigned parity) {
  Barrier& b = barriers_.at(barrier);
  for (const Copy& copy : std::exchange(b.copies, {})) {
    deliver(copy);
    b.bytes -= copy.matrix.box_rows * copy.matrix.box_row_bytes;
  }
  complete(b);
  return (b.phase & 1U) != parity;
}

void StoreQueue::wait(int pending) {
  std::size_t done = 0;
  for (; done < stores_.size() && groups_[done] + pending < group_; ++done) {
    const BoxStore& store = stores_[done];
    const Matrix& m = store.matrix;
    constexpr std::int64_t kPiece = 16;
    for (std::int64_t r = 0; r < std::min(m.box_rows, m.rows - store.row); ++r) {
      for (std::int64_t at = 0; at < m.box_row_bytes; at += kPiece) {
        const std::int64_t column = store.column + at;
        const auto left = std::clamp<std::int64_t>(m.row_bytes - column, 0, kPiece);
        if (left == 0) continue;
        const auto place = static_cast<std::uintptr_t>(r * m.box_row_bytes + at);
        std::memcpy(const_cast<std::byte*>(m.data) + (store.row + r) * m.stride_bytes + column,
                    store.from + swizzled(place, m.box_row_bytes), static_cast<std::size_t>(left));
      }
    }
  }
  const auto count = static_cast<std::ptrdiff_t>(done);
  stores_.erase(stores_.begin(), stores_.begin() + count);
  groups_.erase(groups_.begin(), groups_.begin() + count);
}

void multiply_from_shared(const SharedMemory& shared, const WarpProduct* const (&lanes)[32],
                          unsigned warp) {
  const WarpProduct& example = *lanes[0];
  float a[16][kDepth];
  if (example.a_registers != nullptr) {
    for (unsigned lane = 0; lane < 32; ++lane) put_a<BFloat16>(lanes[lane]->a_registers, lane, a);
  } else {
    for (unsigned r = 0; r < 16; ++r) load_row(shared, example.a, 16 * warp + r, a[r]);
  }
  for (unsigned column = 0; column < static_cast<unsigned>(example.columns); column += 8) {
    float b[kDepth][8];
    for (unsigned n = 0; n < 8; ++n) {
      float row[kDepth];
      load_row(shared, example.b, column + n, row);
      for (unsigned k = 0; k < kDepth; ++k) b[k][n] = row[k];
    }
    float c[16][8];
    multiply_arrays(a, b, c);
    for (unsigned lane = 0; lane < 32; ++lane) {
      float* const to = lanes[lane]->c + column / 2;
      for (unsigned i = 0; i < 4; ++i) {
        const float sum = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
        to[i] = example.accumulate ? to[i] + sum : sum;
      }
    }
  }
}

}  // namespace fvlm::emulator

namespace fvlm {

template <>
TensorMap tensor_map<Target::kEmulated>(View<const BFloat16> matrix, std::int64_t box_rows,
                                        int box_depth) {
  constexpr std::int64_t kElement = sizeof(BFloat16);
  const emulator::Matrix emulated{.data = reinterpret_cast<const std::byte*>(matrix.data),
                                  .rows = matrix.rows,
                                  .row_bytes = matrix.cols * kElement,
                                  .stride_bytes = matrix.stride * kElement,
                                  .box_rows = box_rows,
                                  .box_row_bytes = box_depth * kElement};
  TensorMap map{};
  static_assert(sizeof(emulated) <= sizeof(map.bytes));
  std::memcpy(map.bytes, &emulated, sizeof(emulated));
  return map;
}

}  // namespace fvlm
