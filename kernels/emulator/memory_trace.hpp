// How the warps of kernels use memory, counted as a device's profiler counts it: sectors of global
// memory and wavefronts of shared memory for each request of a warp. For tests, which hold kernels
// to what is possible.
//
// Counted is what passes through load(), store(), ldmatrix() and copy_async() and their like
// (vec.hpp, fragment.hpp, async_copy.hpp), not plain reads and writes through pointers, and not the
// tensor memory accelerator. Lanes that call from one line for the n-th time make one request.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace fvlm::emulator {

enum class MemoryAccess : std::uint8_t { kGlobalLoad, kGlobalStore, kSharedLoad, kSharedStore };

// The requests of one line of a kernel.
struct LineTraffic {
  std::string kernel;
  std::string line;  // file and number
  MemoryAccess access;
  std::int64_t requests = 0;  // of a warp
  // Of global memory, sectors of 32 bytes that the requests touch; of shared memory, wavefronts: a
  // bank gives one word of 4 bytes in each. And the least that so many bytes take.
  std::int64_t units = 0;
  std::int64_t least = 0;
};

// The requests of one block. Not for several threads of the host.
class BlockTraffic {
 public:
  // A lane's part in a request: `bytes` at `address`.
  void add(unsigned thread, const std::source_location& where, MemoryAccess access,
           std::uint64_t address, unsigned bytes);

 private:
  friend class MemoryTrace;

  struct Line {
    const char* file;
    unsigned line;
    unsigned column;
    MemoryAccess access;
    auto operator<=>(const Line&) const = default;
  };
  struct Request {
    std::array<std::uint64_t, 32> address{};
    std::uint32_t lanes = 0;
    unsigned bytes = 0;  // of each lane
  };
  struct RequestKey {
    Line line;
    unsigned warp;
    unsigned turn;  // how often the lanes had called from the line before
    auto operator<=>(const RequestKey&) const = default;
  };

  std::map<std::pair<unsigned, Line>, unsigned> calls_{};  // of each thread
  std::map<RequestKey, Request> requests_{};
};

// While it lives, launches are counted. One at a time.
class MemoryTrace {
 public:
  MemoryTrace();
  ~MemoryTrace();
  MemoryTrace(const MemoryTrace&) = delete;
  MemoryTrace& operator=(const MemoryTrace&) = delete;

  // The one that counts, or null.
  static MemoryTrace* current();

  void add(std::string_view kernel, const BlockTraffic& block);
  std::vector<LineTraffic> lines() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, MemoryAccess>, LineTraffic> lines_{};
};

}  // namespace fvlm::emulator
