#include "kernels/emulator/overlap_check.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

namespace fvlm::emulator {
namespace {

std::atomic<OverlapCheck*> watching = nullptr;

}  // namespace

void BlockAccesses::add(std::uint64_t address, std::size_t bytes, bool loads, bool early) {
  constexpr std::uint64_t kSector = 32;
  if (loads && !early) return;
  if (!loads && early) stored_early = true;
  Sectors& to = loads ? read_early : stored;
  for (std::uint64_t at = address / kSector; at <= (address + bytes - 1) / kSector; ++at) {
    to.insert(at);
  }
}

OverlapCheck::OverlapCheck() {
  watching = this;
}
OverlapCheck::~OverlapCheck() {
  watching = nullptr;
}
OverlapCheck* OverlapCheck::current() {
  return watching.load(std::memory_order_relaxed);
}

void OverlapCheck::add(const BlockAccesses& block) {
  const std::lock_guard lock(mutex_);
  launch_.stored.insert(block.stored.begin(), block.stored.end());
  launch_.read_early.insert(block.read_early.begin(), block.read_early.end());
  launch_.stored_early |= block.stored_early;
}

void OverlapCheck::end_launch(std::string_view kernel) {
  const std::string name(kernel);
  if (launch_.stored_early) problems_.push_back(name + " writes before it waits");
  const bool overlaps = std::any_of(launch_.read_early.begin(), launch_.read_early.end(),
                                    [&](std::uint64_t at) { return stored_before_.contains(at); });
  if (overlaps) {
    problems_.push_back(name + " reads what " + kernel_before_ + " writes before it waits");
  }
  if (!launch_.read_early.empty()) early_kernels_.push_back(name);
  kernel_before_ = name;
  stored_before_ = std::exchange(launch_, {}).stored;
}

}  // namespace fvlm::emulator
