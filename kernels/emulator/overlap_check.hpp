// Finds kernels that take programmatic dependent launch too far: they begin before the kernel
// before has ended, and until they wait for it may read only what it does not write, such as
// weights, and write nothing. For tests, as what is watched is written down.
//
// Watched is what memory_trace.hpp counts, and boxes of the tensor memory accelerator; not plain
// reads and writes through pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace fvlm::emulator {

// Sectors of 32 bytes of global memory.
using Sectors = std::unordered_set<std::uint64_t>;

// What a block has done to global memory.
struct BlockAccesses {
  Sectors stored{};
  Sectors read_early{};  // before the thread waited
  bool stored_early = false;

  void add(std::uint64_t address, std::size_t bytes, bool loads, bool early);
};

// While it lives, launches are watched, as if each overlapped the one before. One at a time.
class OverlapCheck {
 public:
  OverlapCheck();
  ~OverlapCheck();
  OverlapCheck(const OverlapCheck&) = delete;
  OverlapCheck& operator=(const OverlapCheck&) = delete;

  // The one that watches, or null.
  static OverlapCheck* current();

  void add(const BlockAccesses& block);
  void end_launch(std::string_view kernel);

  // What was done too early, a line each.
  const std::vector<std::string>& problems() const { return problems_; }
  // Kernels that have read anything before they waited.
  const std::vector<std::string>& early_kernels() const { return early_kernels_; }

 private:
  std::mutex mutex_{};
  BlockAccesses launch_{};
  std::string kernel_before_{};
  Sectors stored_before_{};
  std::vector<std::string> problems_{};
  std::vector<std::string> early_kernels_{};
};

}  // namespace fvlm::emulator
