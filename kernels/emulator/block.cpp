#include "kernels/emulator/block.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "kernels/emulator/fiber.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm::emulator {
namespace {

std::string text(const Index3& index) {
  return fmt::format("({}, {}, {})", index.x, index.y, index.z);
}

std::string text(const Site& site) {
  std::string_view file = site.where.file_name();
  file.remove_prefix(file.rfind('/') + 1);
  return fmt::format("{} ({}:{})", site.function, file, site.where.line());
}

// Mostly the same literal.
bool same_name(const char* a, const char* b) {
  return a == b || std::string_view(a) == b;
}

// Where it is called from is part of a barrier: a device waits for all threads at one of them.
bool same_place(const Site& a, const Site& b) {
  return a.where.line() == b.where.line() && same_name(a.where.file_name(), b.where.file_name());
}

bool same_function(const Site& a, const Site& b) {
  return same_name(a.function, b.function);
}

}  // namespace

Block::Block() : home_(std::make_unique<Fiber>()) {}
Block::~Block() = default;

void Block::run(const Grid& grid, Index3 block, Body body) {
  thread_local Block of_os_thread;
  current_ = &of_os_thread;
  of_os_thread.run_threads(grid, block, body);
}

void Block::run_threads(const Grid& grid, Index3 block, Body body) {
  grid_ = &grid;
  block_ = block;
  body_ = body;
  backwards_ = (block.x + block.y + block.z) % 2 == 0;
  abandoned_ = false;
  error_ = nullptr;
  started_ = 0;
  at_barrier_ = 0;
  ready_warps_ = 0;
  count_ = grid.threads;
  live_ = count_;
  if (threads_.size() < count_) threads_.resize(count_);
  for (Thread& thread : threads_) thread.unfenced = {};
  for (unsigned first = 0; first < count_; first += kWarp) {
    const unsigned lanes = std::min(count_ - first, kWarp);
    warps_[first / kWarp] = {.live = ~std::uint32_t{0} >> (kWarp - lanes)};
  }
  shared_.begin_block(grid.shared_bytes, grid.opted_in_bytes > 0
                                             ? current_device.load()->shared_bytes
                                             : kDefaultSharedBytes);
  barriers_.clear();
  MemoryTrace* const trace = MemoryTrace::current();
  traffic_.reset();
  if (trace != nullptr) traffic_.emplace();
  OverlapCheck* const overlap = OverlapCheck::current();
  overlap_.reset();
  if (overlap != nullptr) overlap_.emplace();
  emulated::blockIdx = block;
  emulated::blockDim = {grid.threads, 1, 1};
  emulated::gridDim = grid.blocks;

  home_->switch_to(take_fiber());
  if (!error_ && shared_.damaged()) {
    throw make_error("{}: block {} has written behind its shared memory", grid.kernel, text(block));
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  if (trace != nullptr) trace->add(grid.kernel, *traffic_);
  if (overlap != nullptr) overlap->add(*overlap_);
}

void Block::count_access(const std::source_location& where, bool loads, const void* address,
                         unsigned bytes) {
  const bool shared = shared_.contains(address, bytes);
  const auto access = shared ? (loads ? MemoryAccess::kSharedLoad : MemoryAccess::kSharedStore)
                             : (loads ? MemoryAccess::kGlobalLoad : MemoryAccess::kGlobalStore);
  const std::uint64_t at =
      shared ? shared_.offset(address) : reinterpret_cast<std::uintptr_t>(address);
  if (traffic_) traffic_->add(thread_rank(), where, access, at, bytes);
  if (overlap_ && !shared) overlap_->add(at, bytes, loads, !running_->waited);
}

void Block::note_box(const Matrix& matrix, std::int64_t row, std::int64_t column, bool loads) {
  if (!overlap_) return;
  const auto bytes = std::min(matrix.box_row_bytes, matrix.row_bytes - column);
  for (std::int64_t r = row; r < std::min(row + matrix.box_rows, matrix.rows) && bytes > 0; ++r) {
    const auto* const at = matrix.data + r * matrix.stride_bytes + column;
    overlap_->add(reinterpret_cast<std::uintptr_t>(at), static_cast<std::size_t>(bytes), loads,
                  !running_->waited);
  }
}

void Block::fiber_entry() {
  current().work();
}

// What a fiber does: threads, one after the other; then other fibers' threads until it is needed.
void Block::work() {
  Fiber& fiber = Fiber::running();
  while (!fiber.stopping()) {
    while (unstarted()) {
      begin(backwards_ ? count_ - 1 - started_ : started_);
      running_->fiber = &fiber;
      guarded([&] {
        body_.call(body_.data);
        if (grid_->must_wait && !running_->waited) {
          throw make_error("{}: block {}, thread {} has ended without wait_for_previous_kernel()",
                           grid_->kernel, text(block_), text(running_->index));
        }
        if (!running_->stores.empty()) {
          throw make_error("{}: block {}, thread {} has ended before wait_for_stores()",
                           grid_->kernel, text(block_), text(running_->index));
        }
      });
      Warp& warp = warp_of(*running_);
      warp.live &= ~bit_of(*running_);
      --live_;
      guarded([&] { settle(warp); });
    }
    idle_.push_back(&fiber);
    Fiber* next = home_.get();
    if (live_ > 0) {
      next = take_ready(next_warp()).fiber;  // settle() has seen to it that there is one
    }
    fiber.switch_to(*next);
  }
}

template <class F>
void Block::guarded(F&& function) {
  try {
    if (!abandoned_) return function();
  } catch (const Abandoned&) {
    return;
  } catch (...) {
    if (!error_) error_ = std::current_exception();
  }
  abandon();
}

void Block::begin(unsigned rank) {
  ++started_;
  running_ = &threads_[rank];
  running_->index = {rank, 0, 0};
  running_->copies.clear();
  running_->products.clear();
  running_->stores.clear();
  running_->waited = false;
  emulated::threadIdx = running_->index;
}

// After the end of a thread: others may have waited for nobody else.
void Block::settle(Warp& warp) {
  const auto first = static_cast<std::size_t>(&warp - warps_.data()) * kWarp;
  for (std::uint32_t left = warp.meeting; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    if ((warp.meeting >> lane & 1U) != 0) try_complete(warp, threads_[first + lane].mask);
  }
  if (at_barrier_ > 0 && at_barrier_ == live_) release_barrier();
  if (live_ > 0 && ready_warps_ == 0 && !unstarted() && !poll()) fail_deadlock();
}

void Block::barrier(const Site& site) {
  if (at_barrier_ == 0) {
    barrier_ = site;
  } else if (!same_place(site, barrier_)) {
    fail(site, fmt::format("other threads of the block wait at {}", text(barrier_)));
  }
  Thread& self = *running_;
  Warp& warp = warp_of(self);
  self.site = site;
  warp.at_barrier |= bit_of(self);
  ++at_barrier_;
  if (at_barrier_ < live_) return suspend();
  release_barrier();
  make_ready(warp, warp.ready & ~bit_of(self));
}

void Block::release_barrier() {
  at_barrier_ = 0;
  for (std::size_t w = 0; w * kWarp < count_; ++w) {
    Warp& warp = warps_[w];
    make_ready(warp, warp.ready | std::exchange(warp.at_barrier, 0));
  }
}

void Block::meet(std::uint32_t mask, const Site& site, void (*complete)(const Lanes&),
                 void* argument) {
  Thread& self = *running_;
  Warp& warp = warp_of(self);
  if ((mask & bit_of(self)) == 0) {
    fail(site, fmt::format("its mask {:#x} does not name the calling lane", mask));
  }
  self.site = site;
  self.mask = mask;
  self.complete = complete;
  self.argument = argument;
  warp.meeting |= bit_of(self);
  if (!try_complete(warp, mask)) return suspend();
  make_ready(warp, warp.ready & ~bit_of(self));
}

// If all lanes of the mask are there.
bool Block::try_complete(Warp& warp, std::uint32_t mask) {
  const std::uint32_t expected = mask & warp.live;
  if ((warp.meeting & expected) != expected) return false;
  end_meeting(warp, expected);
  return true;
}

void Block::end_meeting(Warp& warp, std::uint32_t present) {
  const auto first = static_cast<std::size_t>(&warp - warps_.data()) * kWarp;
  const Thread& example = threads_[first + static_cast<unsigned>(std::countr_zero(present))];
  Lanes lanes{.present = present};
  for (std::uint32_t left = present; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    const Thread& thread = threads_[first + lane];
    if (thread.complete != example.complete || thread.mask != example.mask ||
        !same_function(thread.site, example.site)) {
      throw make_error(
          "{}: block {}: thread {} waits at {} with mask {:#x}, thread {} at {} with {:#x}",
          grid_->kernel, text(block_), text(thread.index), text(thread.site), thread.mask,
          text(example.index), text(example.site), example.mask);
    }
    lanes.arguments[lane] = thread.argument;
  }
  if (example.complete != nullptr) example.complete(lanes);
  warp.meeting &= ~present;
  make_ready(warp, warp.ready | present);
}

void Block::wait_until(const Site& site, bool (*ready)(void*), void* argument) {
  Thread& self = *running_;
  Warp& warp = warp_of(self);
  while (!ready(argument)) {
    self.site = site;
    self.ready = ready;
    self.argument = argument;
    warp.polling |= bit_of(self);
    suspend();
  }
}

// Lets those go on that have waited for what has come about; whether there are any.
bool Block::poll() {
  for (std::size_t w = 0; w * kWarp < count_; ++w) {
    Warp& warp = warps_[w];
    for (std::uint32_t left = warp.polling; left != 0; left &= left - 1) {
      const auto lane = static_cast<unsigned>(std::countr_zero(left));
      const Thread& thread = threads_[w * kWarp + lane];
      if (!thread.ready(thread.argument)) continue;
      warp.polling &= ~(std::uint32_t{1} << lane);
      make_ready(warp, warp.ready | std::uint32_t{1} << lane);
    }
  }
  return ready_warps_ != 0;
}

void Block::suspend() {
  Thread& self = *running_;
  Warp& warp = warp_of(self);
  Fiber* next = nullptr;
  if (warp.ready != 0) {
    next = take_ready(warp).fiber;
  } else if (unstarted()) {
    next = &take_fiber();
  } else if (ready_warps_ != 0 || poll()) {
    next = take_ready(next_warp()).fiber;
  } else {
    fail_deadlock();
  }
  if (next != self.fiber) self.fiber->switch_to(*next);
  if (abandoned_) throw Abandoned{};
  running_ = &self;
  emulated::threadIdx = self.index;
}

// Lets all threads that wait end, and none begin.
void Block::abandon() {
  if (std::exchange(abandoned_, true)) return;
  live_ -= count_ - started_;
  started_ = count_;
  for (std::size_t w = 0; w * kWarp < count_; ++w) {
    Warp& warp = warps_[w];
    std::uint32_t waiting = std::exchange(warp.at_barrier, 0) | std::exchange(warp.meeting, 0) |
                            std::exchange(warp.polling, 0);
    if (&warp == &warp_of(*running_)) waiting &= ~bit_of(*running_);
    make_ready(warp, warp.ready | waiting);
  }
}

void Block::make_ready(Warp& warp, std::uint32_t lanes) {
  warp.ready = lanes;
  const std::uint32_t bit = std::uint32_t{1} << (&warp - warps_.data());
  ready_warps_ = lanes == 0 ? ready_warps_ & ~bit : ready_warps_ | bit;
}

std::size_t Block::next_of(std::uint32_t set) const {
  return static_cast<std::size_t>(backwards_ ? 31 - std::countl_zero(set) : std::countr_zero(set));
}

Block::Warp& Block::next_warp() {
  return warps_[next_of(ready_warps_)];
}

Thread& Block::take_ready(Warp& warp) {
  const std::size_t lane = next_of(warp.ready);
  make_ready(warp, warp.ready & ~(std::uint32_t{1} << lane));
  return threads_[static_cast<std::size_t>(&warp - warps_.data()) * kWarp + lane];
}

Fiber& Block::take_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&fiber_entry));
    return *fibers_.back();
  }
  Fiber& fiber = *idle_.back();
  idle_.pop_back();
  return fiber;
}

bool Block::has_unfenced(const void* address, std::size_t bytes) const {
  const auto* const p = static_cast<const std::byte*>(address);
  return std::any_of(threads_.begin(), threads_.begin() + count_, [&](const Thread& thread) {
    return thread.unfenced.begin < p + bytes && p < thread.unfenced.end;
  });
}

void Block::fail(const Site& site, const std::string& problem) const {
  throw make_error("{}: block {}, thread {}: {}: {}", grid_->kernel, text(block_),
                   text(running_->index), text(site), problem);
}

void Block::fail_deadlock() const {
  struct Group {
    Index3 first;
    int threads = 0;
  };
  std::map<std::string, Group> groups;
  for (unsigned rank = 0; rank < count_; ++rank) {
    const Thread& thread = threads_[rank];
    const Warp& warp = warps_[rank / kWarp];
    if (((warp.at_barrier | warp.meeting | warp.polling) >> rank % kWarp & 1U) == 0) continue;
    Group& group = groups[text(thread.site)];
    if (group.threads++ == 0) group.first = thread.index;
  }
  std::string all;
  for (const auto& [site, group] : groups) {
    all += fmt::format("{}{} threads from {} at {}", all.empty() ? "" : "; ", group.threads,
                       text(group.first), site);
  }
  throw make_error("{}: block {}: deadlock: these wait forever: {}", grid_->kernel, text(block_),
                   all);
}

Block::Warp& Block::warp_of(const Thread& thread) {
  return warps_[static_cast<std::size_t>(&thread - threads_.data()) / kWarp];
}

std::uint32_t Block::bit_of(const Thread& thread) const {
  return std::uint32_t{1} << (&thread - threads_.data()) % kWarp;
}

}  // namespace fvlm::emulator
