#include "kernels/emulator/tensor_memory.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/tensor_map.hpp"
#include "kernels/emulator/fragment.hpp"

namespace fvlm::emulator {
namespace {

constexpr std::int64_t kDepth = 16;  // of a product

// Element (row, k) of an operand, by its descriptor: the address in units of 16 bytes, and the
// distance of groups of eight rows.
float element(const SharedMemory& shared, std::uint64_t descriptor, std::int64_t row,
              std::int64_t k) {
  const auto start = static_cast<std::uintptr_t>(descriptor & 0x3fffU) << 4;
  const auto group = static_cast<std::uintptr_t>(descriptor >> 32 & 0x3fffU) << 4;
  const auto address = start + static_cast<std::uintptr_t>(row / 8) * group +
                       static_cast<std::uintptr_t>(row % 8 * kBoxRowBytes) +
                       static_cast<std::uintptr_t>(2 * k);
  BFloat16 value;
  std::memcpy(&value, shared.dynamic() + swizzled(address), sizeof(value));
  return static_cast<float>(value);
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
  std::vector<float> b(static_cast<std::size_t>(example.columns * kDepth));
  for (std::int64_t n = 0; n < example.columns; ++n) {
    for (std::int64_t k = 0; k < kDepth; ++k) {
      b[static_cast<std::size_t>(n * kDepth + k)] = element(shared, example.b, n, k);
    }
  }
  float a[16][kDepth];
  if (example.a_registers != nullptr) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned i = 0; i < 4; ++i) {
        const Pair<BFloat16> pair(lanes[lane]->a_registers[i]);
        float* const to = &a[lane / 4 + i % 2 * 8][lane % 4 * 2 + i / 2 * 8];
        to[0] = pair.first;
        to[1] = pair.second;
      }
    }
  } else {
    for (std::int64_t r = 0; r < 16; ++r) {
      for (std::int64_t k = 0; k < kDepth; ++k) {
        a[r][k] = element(shared, example.a, 16 * warp + r, k);
      }
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    float* const c = lanes[lane]->c;
    for (int j = 0; j < example.columns / 8; ++j) {
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = lane / 4 + i / 2 * 8;
        const auto column = static_cast<std::size_t>(8 * j) + lane % 4 * 2 + i % 2;
        float sum = 0;
        for (std::size_t k = 0; k < kDepth; ++k) sum += a[row][k] * b[column * kDepth + k];
        float& to = c[4 * j + static_cast<int>(i)];
        to = example.accumulate ? to + sum : sum;
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
