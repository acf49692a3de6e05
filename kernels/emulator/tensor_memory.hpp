// What compute capability 9.0 adds, as the hardware does it: barriers in shared memory that count
// arrivals and bytes, copies of boxes of a matrix by the tensor memory accelerator (TMA), and
// wgmma, which reads its operands from shared memory by descriptors.
//
// A copy destroys its destination at once and delivers when somebody waits for its barrier;
// products and stores read their operands when they are waited for. So a missing wait, a stage that
// is filled again too early, a wrong descriptor or a wrong count shows as NaNs, wrong sums or a
// deadlock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "kernels/emulator/shared_memory.hpp"

namespace fvlm::emulator {

// A matrix of 16-bit elements in global memory whose boxes of `box_rows` rows and 128 or 64 bytes
// are copied; as it is in primitives/tensor_map.hpp's TensorMap.
struct Matrix {
  const std::byte* data;
  std::int64_t rows;
  std::int64_t row_bytes;     // that exist
  std::int64_t stride_bytes;  // from one row to the next
  std::int64_t box_rows;
  std::int64_t box_row_bytes;

  std::size_t box_bytes() const { return static_cast<std::size_t>(box_rows * box_row_bytes); }
};

inline constexpr std::int64_t kBoxRowBytes = 128;  // of operands of wgmma

// The 16-byte pieces of eight rows change places, within 1,024 bytes where rows have 128: bits 4 to
// 6 of an address are XORed with bits 7 to 9. Where they have 64, bits 4 and 5 with 7 and 8.
constexpr std::uintptr_t swizzled(std::uintptr_t address, std::int64_t row_bytes = kBoxRowBytes) {
  return address ^ ((address >> 7 & (row_bytes == kBoxRowBytes ? 7U : 3U)) << 4);
}

// The barriers of a block.
class Barriers {
 public:
  void clear() { barriers_.clear(); }
  void init(const void* barrier, int arrivals) {
    barriers_[barrier] = {.arrivals = arrivals, .missing = arrivals};
  }
  bool is_known(const void* barrier) const { return barriers_.contains(barrier); }
  void arrive(const void* barrier) {
    Barrier& b = barriers_.at(barrier);
    --b.missing;
    complete(b);
  }
  // Bytes that the phase waits for besides.
  void expect(const void* barrier, std::int64_t bytes) { barriers_.at(barrier).bytes += bytes; }
  // The box that begins at (row, column in bytes), to 1,024-byte aligned shared memory. Zeros stand
  // in for what is beyond the matrix.
  void copy(const void* barrier, std::byte* to, const Matrix& matrix, std::int64_t row,
            std::int64_t column);
  // Delivers, and says whether the phase of this parity has ended.
  bool has_passed(const void* barrier, unsigned parity);

 private:
  struct Copy {
    std::byte* to;
    Matrix matrix;
    std::int64_t row;
    std::int64_t column;
  };
  struct Barrier {
    int arrivals = 0;  // of a phase
    int missing = 0;
    std::int64_t bytes = 0;
    unsigned phase = 0;
    std::vector<Copy> copies{};
  };

  static void complete(Barrier& b);
  static void deliver(const Copy& copy);

  std::map<const void*, Barrier> barriers_{};
};

// A box on its way from shared memory to (row, column in bytes) of a matrix.
struct BoxStore {
  const std::byte* from;
  Matrix matrix;
  std::int64_t row;
  std::int64_t column;
};

// The stores of a thread that have begun, in groups.
class StoreQueue {
 public:
  void clear() {
    stores_.clear();
    groups_.clear();
    group_ = 0;
  }
  bool empty() const { return stores_.empty(); }
  void add(const BoxStore& store) {
    stores_.push_back(store);
    groups_.push_back(group_);
  }
  void commit() { ++group_; }
  // Carries out those of all groups but the last `pending`.
  void wait(int pending);

 private:
  std::vector<BoxStore> stores_{};
  std::vector<int> groups_{};
  int group_ = 0;
};

// One lane's part in a product of a warp: rows [16, kN] of C.
struct WarpProduct {
  std::uint64_t a;                   // without registers
  const std::uint32_t* a_registers;  // [4], as FragmentA; or null
  std::uint64_t b;
  float* c;  // [columns / 8][4], as FragmentC
  int columns;
  bool accumulate;
};

// The products of a thread that have begun, in groups.
class ProductQueue {
 public:
  void clear() {
    products_.clear();
    groups_.clear();
    group_ = 0;
    fenced_ = false;
  }
  // Registers are as products may read and write them, those of one group.
  void fence() { fenced_ = true; }
  bool fenced() const { return fenced_; }
  void add(const WarpProduct& product) {
    products_.push_back(product);
    groups_.push_back(group_);
  }
  void commit() {
    ++group_;
    fenced_ = false;
  }
  // Those of all groups but the last `pending`.
  std::vector<WarpProduct> take(int pending) {
    std::size_t count = 0;
    while (count < products_.size() && groups_[count] + pending < group_) ++count;
    const auto end = static_cast<std::ptrdiff_t>(count);
    std::vector<WarpProduct> taken(products_.begin(), products_.begin() + end);
    products_.erase(products_.begin(), products_.begin() + end);
    groups_.erase(groups_.begin(), groups_.begin() + end);
    return taken;
  }

 private:
  std::vector<WarpProduct> products_{};
  std::vector<int> groups_{};
  int group_ = 0;
  bool fenced_ = false;
};

// C = A B^T, or added to C, of 64 rows of A of which the warp has 16: `warp` of four.
void multiply_from_shared(const SharedMemory& shared, const WarpProduct* const (&lanes)[32],
                          unsigned warp);

}  // namespace fvlm::emulator
