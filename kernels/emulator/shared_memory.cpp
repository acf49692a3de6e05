#include "kernels/emulator/shared_memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/emulator/device.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace fvlm::emulator {
namespace {

constexpr std::size_t kReserved = 2 * kLargeDevice.shared_bytes;  // with room for gaps
constexpr std::size_t kGap = 128;                                 // at least

#if defined(__SANITIZE_ADDRESS__)
void guard(std::byte* p, std::size_t bytes) {
  __asan_poison_memory_region(p, bytes);
}
void unguard(std::byte* p, std::size_t bytes) {
  __asan_unpoison_memory_region(p, bytes);
}
bool is_intact(const std::byte*, std::size_t) {
  return true;
}
#else
constexpr std::byte kGuard{0xA5};

void guard(std::byte* p, std::size_t bytes) {
  std::fill_n(p, bytes, kGuard);
}
void unguard(std::byte*, std::size_t) {}
bool is_intact(const std::byte* p, std::size_t bytes) {
  return std::all_of(p, p + bytes, [](std::byte b) { return b == kGuard; });
}
#endif

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + SharedMemory::kAlignment - 1) / SharedMemory::kAlignment *
         SharedMemory::kAlignment;
}

}  // namespace

void SharedMemory::Free::operator()(std::byte* p) const {
  std::free(p);
}

SharedMemory::SharedMemory()
    : memory_(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kReserved))) {
  if (!memory_) throw std::bad_alloc();
}

SharedMemory::~SharedMemory() {
  unguard(memory_.get(), kReserved);
}

void SharedMemory::begin_block(std::size_t dynamic_bytes, std::size_t limit) {
  objects_.clear();
  guard(memory_.get(), end_);
  end_ = 0;
  used_ = 0;
  limit_ = limit;
  add(nullptr, dynamic_bytes);
}

std::byte* SharedMemory::fixed(const void* key, std::size_t bytes) {
  for (const Object& object : objects_) {
    if (object.key == key) return memory_.get() + object.at;
  }
  return used_ + bytes > limit_ ? nullptr : add(key, bytes);
}

std::byte* SharedMemory::add(const void* key, std::size_t bytes) {
  std::byte* const p = memory_.get() + end_;
  const std::size_t whole = aligned(bytes + kGap);
  unguard(p, bytes);
  std::memset(p, 0xFF, bytes);
  guard(p + bytes, whole - bytes);
  objects_.push_back({key, end_, bytes});
  used_ += bytes;
  end_ += whole;
  return p;
}

bool SharedMemory::contains(const void* address, std::size_t bytes) const {
  const auto* const p = static_cast<const std::byte*>(address);
  return std::any_of(objects_.begin(), objects_.end(), [&](const Object& object) {
    const std::byte* const first = memory_.get() + object.at;
    return p >= first && p + bytes <= first + object.bytes;
  });
}

bool SharedMemory::damaged() const {
  return std::any_of(objects_.begin(), objects_.end(), [&](const Object& object) {
    return !is_intact(memory_.get() + object.at + object.bytes,
                      aligned(object.bytes + kGap) - object.bytes);
  });
}

}  // namespace fvlm::emulator
