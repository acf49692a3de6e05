#include "kernels/emulator/memory_trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <tuple>

namespace fvlm::emulator {
namespace {

constexpr unsigned kLanes = 32;

std::atomic<MemoryTrace*> current_trace = nullptr;

struct Units {
  std::int64_t used;
  std::int64_t least;
};

std::int64_t rounded_up(std::uint64_t bytes, std::uint64_t unit) {
  return static_cast<std::int64_t>((bytes + unit - 1) / unit);
}

// Lanes that read the same address share it.
Units sectors(const std::vector<std::uint64_t>& addresses, unsigned bytes) {
  constexpr std::uint64_t kSector = 32;
  std::set<std::uint64_t> touched;
  for (const std::uint64_t address : addresses) {
    for (std::uint64_t at = address / kSector; at <= (address + bytes - 1) / kSector; ++at) {
      touched.insert(at);
    }
  }
  const std::set distinct(addresses.begin(), addresses.end());
  return {static_cast<std::int64_t>(touched.size()), rounded_up(distinct.size() * bytes, kSector)};
}

// A wavefront serves 128 bytes: all lanes with 4 bytes each, half of them with 8, a quarter
// with 16.
Units wavefronts(const std::vector<std::uint64_t>& addresses, unsigned bytes) {
  constexpr unsigned kBanks = 32;
  constexpr unsigned kWord = 4;
  std::array<std::set<std::uint64_t>, kBanks> words;
  for (const std::uint64_t address : addresses) {
    for (std::uint64_t word = address / kWord; word <= (address + bytes - 1) / kWord; ++word) {
      words[word % kBanks].insert(word);
    }
  }
  std::size_t most = 0;
  for (const auto& bank : words) most = std::max(most, bank.size());
  return {static_cast<std::int64_t>(most), 1};
}

}  // namespace

void BlockTraffic::add(unsigned thread, const std::source_location& where, MemoryAccess access,
                       std::uint64_t address, unsigned bytes) {
  const Line line{where.file_name(), where.line(), where.column(), access};
  const unsigned turn = calls_[{thread, line}]++;
  Request& request = requests_[{line, thread / kLanes, turn}];
  request.address[thread % kLanes] = address;
  request.lanes |= 1U << (thread % kLanes);
  request.bytes = bytes;
}

MemoryTrace::MemoryTrace() {
  current_trace = this;
}
MemoryTrace::~MemoryTrace() {
  current_trace = nullptr;
}

MemoryTrace* MemoryTrace::current() {
  return current_trace.load(std::memory_order_relaxed);
}

void MemoryTrace::add(std::string_view kernel, const BlockTraffic& block) {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, request] : block.requests_) {
    std::string_view file = key.line.file;
    file.remove_prefix(file.rfind('/') + 1);
    LineTraffic& line =
        lines_[{std::string(kernel), fmt::format("{}:{}", file, key.line.line), key.line.access}];
    const bool shared = key.line.access == MemoryAccess::kSharedLoad ||
                        key.line.access == MemoryAccess::kSharedStore;
    const unsigned together = shared ? std::min(kLanes, 128 / request.bytes) : kLanes;
    for (unsigned first = 0; first < kLanes; first += together) {
      std::vector<std::uint64_t> addresses;
      for (unsigned lane = first; lane < first + together; ++lane) {
        if ((request.lanes >> lane & 1U) != 0) addresses.push_back(request.address[lane]);
      }
      if (addresses.empty()) continue;
      const Units units =
          shared ? wavefronts(addresses, request.bytes) : sectors(addresses, request.bytes);
      line.units += units.used;
      line.least += units.least;
    }
    ++line.requests;
  }
}

std::vector<LineTraffic> MemoryTrace::lines() const {
  const std::lock_guard lock(mutex_);
  std::vector<LineTraffic> lines;
  for (const auto& [key, counts] : lines_) {
    LineTraffic& line = lines.emplace_back(counts);
    std::tie(line.kernel, line.line, line.access) = key;
  }
  return lines;
}

}  // namespace fvlm::emulator
