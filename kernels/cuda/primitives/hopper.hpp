// What compute capability 9.0 adds for GEMMs, for kernels that are launched on such devices only
// (kHopper): copies of boxes of a matrix by the tensor memory accelerator (TMA), and barriers in
// shared memory that count their bytes. Products are in wgmma.hpp.
//
// Operands are [rows, depth] of 16-bit elements, copied 64 elements of the depth at a time: rows of
// 128 bytes, swizzled, in 1,024-byte aligned shared memory. Rows of 64 bytes are possible, too, in
// 512-byte aligned memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/tensor_map.hpp"

#ifndef __CUDACC__
#include <fmt/format.h>

#include "kernels/emulator/tensor_memory.hpp"
#endif

namespace fvlm::FVLM_CUDA_TARGET {

// Whether the code that is compiled may use this: elsewhere kernels are empty.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kHopper = true;
#else
inline constexpr bool kHopper = false;
#endif

struct SharedBarrier {
  std::uint64_t state;
};

#ifdef __CUDACC__
__device__ inline std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
#else
inline emulator::Barriers& barriers(const SharedBarrier& barrier, const char* function,
                                    Where where) {
  emulator::Block& block = emulator::Block::current();
  if (!block.barriers().is_known(&barrier)) block.fail({function, where}, "not initialised");
  return block.barriers();
}
inline void check_box(const void* box, const emulator::Matrix& matrix, const emulator::Site& site) {
  emulator::Block& block = emulator::Block::current();
  const auto rows = static_cast<std::size_t>(8 * matrix.box_row_bytes);  // that are swizzled
  if (!block.shared().contains(box, matrix.box_bytes()) || block.shared().offset(box) % rows != 0) {
    block.fail(site, "the box is not aligned shared memory of the block");
  }
}
#endif

// By one thread, before a barrier of the block.
__device__ inline void init(SharedBarrier& barrier, int arrivals) {
#ifdef __CUDACC__
  asm volatile(
      "mbarrier.init.shared::cta.b64 [%0], %1;\nfence.mbarrier_init.release.cluster;" ::"r"(
          shared_address(&barrier)),
      "r"(arrivals)
      : "memory");
#else
  emulator::Block::current().barriers().init(&barrier, arrivals);
#endif
}

__device__ inline void arrive(SharedBarrier& barrier,
                              [[maybe_unused]] Where where = Where::current()) {
#ifdef __CUDACC__
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier))
               : "memory");
#else
  barriers(barrier, "arrive", where).arrive(&barrier);
#endif
}
// Arrives, and lets the phase wait for so many bytes of copies besides.
__device__ inline void arrive_expecting(SharedBarrier& barrier, int bytes,
                                        [[maybe_unused]] Where where = Where::current()) {
#ifdef __CUDACC__
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
#else
  emulator::Barriers& all = barriers(barrier, "arrive_expecting", where);
  all.expect(&barrier, bytes);
  all.arrive(&barrier);
#endif
}
// Waits for the end of the phase of this parity; the first phase's is 0.
__device__ inline void wait(SharedBarrier& barrier, int parity,
                            [[maybe_unused]] Where where = Where::current()) {
#ifdef __CUDACC__
  asm volatile(
      "{\n.reg .pred p;\n"
      "WAIT_%=: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
      "@p bra DONE_%=;\nbra WAIT_%=;\nDONE_%=:\n}" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
#else
  emulator::Barriers& all = barriers(barrier, "wait", where);
  const auto passed = [&] { return all.has_passed(&barrier, static_cast<unsigned>(parity)); };
  emulator::Block::current().wait_until({"wait", where}, passed);
#endif
}

// Begins to copy the box of `map` that begins at (row, at) to shared memory; its bytes count for
// the barrier. By one thread.
__device__ inline void copy_box(void* to, const TensorMap& map, int row, int at,
                                SharedBarrier& barrier,
                                [[maybe_unused]] Where where = Where::current()) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(to)),
      "l"(&map), "r"(at), "r"(row), "r"(shared_address(&barrier))
      : "memory");
#else
  const emulator::Matrix matrix = map.emulated();
  check_box(to, matrix, {"copy_box", where});
  emulator::Block::current().note_box(matrix, row, std::int64_t{2} * at, true);
  barriers(barrier, "copy_box", where)
      .copy(&barrier, static_cast<std::byte*>(to), matrix, row, std::int64_t{2} * at);
#endif
}

// Stores of boxes, from shared memory to a matrix; what is beyond the matrix is left out. Copies
// and stores of boxes go another way to memory than a thread's own accesses (the asynchronous
// proxy): each thread that has written to the box calls the fence, then threads meet, then one
// stores, commits, and waits before the box is written again, or the thread ends.
__device__ inline void fence_async_proxy() {
#ifdef __CUDACC__
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  emulator::Block::current().thread().unfenced = {};
#endif
}
__device__ inline void store_box(const TensorMap& map, int row, int at, const void* from,
                                 [[maybe_unused]] Where where = Where::current()) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(
          &map),
      "r"(at), "r"(row), "r"(shared_address(from))
      : "memory");
#else
  emulator::Block& block = emulator::Block::current();
  const emulator::Matrix matrix = map.emulated();
  check_box(from, matrix, {"store_box", where});
  if (block.has_unfenced(from, matrix.box_bytes())) {
    block.fail({"store_box", where}, "what is stored was written without fence_async_proxy()");
  }
  block.note_box(matrix, row, std::int64_t{2} * at, false);
  block.thread().stores.add(
      {static_cast<const std::byte*>(from), matrix, row, std::int64_t{2} * at});
#endif
}
// The stores since the last call are a group.
__device__ inline void commit_stores() {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#else
  emulator::Block::current().thread().stores.commit();
#endif
}
// Waits until all groups of this thread but the last kPending have read their boxes.
template <int kPending>
__device__ inline void wait_for_stores() {
#ifdef __CUDACC__
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
#else
  emulator::Block::current().thread().stores.wait(kPending);
#endif
}

// Registers of a thread from here on: a group of 128 threads gives some back, or takes them, and
// waits for ever if the block has not got them. Which it has whose three groups begin with as many
// as an SM allows, and of which two then have registers[0] a thread and one has registers[1].
constexpr bool suffice_for_three_groups(const int (&registers)[2]) {
  constexpr int kOfSm = 65536;
  constexpr int kLaunched = kOfSm / 384 / 8 * 8;  // a thread
  return 2 * registers[0] + registers[1] <= 3 * kLaunched && registers[0] % 8 == 0 &&
         registers[1] % 8 == 0;
}
template <int kRegisters>
__device__ inline void give_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
__device__ inline void take_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

}  // namespace fvlm::FVLM_CUDA_TARGET
