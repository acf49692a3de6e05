// wgmma, by which the four warps of a group of 128 threads multiply operands in shared memory, on
// compute capability 9.0: operands as hopper.hpp copies them, named by descriptors.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives/fragment.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/portable.hpp"

#ifndef __CUDACC__
#include <vector>

#include "kernels/emulator/tensor_memory.hpp"
#endif

namespace fvlm::FVLM_CUDA_TARGET {

// The descriptor of an operand: rows of 128 bytes, groups of eight 1,024 bytes apart, swizzled.
__device__ inline std::uint64_t descriptor(const void* rows) {
#ifdef __CUDACC__
  const std::uint64_t address = shared_address(rows);
#else
  const std::uint64_t address = emulator::Block::current().shared().offset(rows);
#endif
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  constexpr std::uint64_t kGroup = std::uint64_t{1024 >> 4} << 32;
  return (address & 0x3ffffU) >> 4 | std::uint64_t{1} << 16 | kGroup | kSwizzle128;
}
// From a descriptor to that of the inputs 16 * k further.
__device__ inline std::uint64_t advance(std::uint64_t operand, int k) {
  return operand + static_cast<std::uint64_t>(2 * k);
}

// Products are asynchronous: fence, multiply ..., commit; wait until all groups but the last
// kPending are done. All four warps of a group of 128 threads must call.
__device__ inline void fence_products() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#elif !defined(__CUDACC__)
  emulator::Block::current().thread().products.fence();
#endif
}
__device__ inline void commit_products() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#elif !defined(__CUDACC__)
  emulator::Block::current().thread().products.commit();
#endif
}
template <int kPending>
__device__ inline void wait_for_products([[maybe_unused]] Where where = Where::current()) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#elif !defined(__CUDACC__)
  emulator::Block& block = emulator::Block::current();
  auto due = block.thread().products.take(kPending);
  const auto multiply = [](const emulator::Lanes& lanes) {
    using Due = std::vector<emulator::WarpProduct>;
    const emulator::Block& current = emulator::Block::current();
    const auto count = static_cast<const Due*>(lanes.arguments[0])->size();
    for (std::size_t i = 0; i < count; ++i) {
      const emulator::WarpProduct* all[emulator::kWarp];
      for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
        all[lane] = &(*static_cast<const Due*>(lanes.arguments[lane]))[i];
      }
      emulator::multiply_from_shared(current.shared(), all, current.thread_rank() / 32 % 4);
    }
  };
  block.meet(kAllLanes, {"wait_for_products", where}, multiply, &due);
#endif
}

// Waits for all products. Only then may their sums be read, and no reading is moved before it.
template <int kRows, int kTiles>
__device__ inline void finish_products([[maybe_unused]] FragmentC (&sums)[kRows][kTiles],
                                       Where where = Where::current()) {
  wait_for_products<0>(where);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#pragma unroll
  for (FragmentC(&row)[kTiles] : sums) {
#pragma unroll
    for (FragmentC& sum : row) {
      asm volatile(""
                   : "+f"(sum.reg[0]), "+f"(sum.reg[1]), "+f"(sum.reg[2]),
                     "+f"(sum.reg[3])::"memory");
    }
  }
#endif
}

#ifndef __CUDACC__
inline void add_product(const emulator::WarpProduct& product, const char* function, Where where) {
  emulator::Block& block = emulator::Block::current();
  emulator::ProductQueue& products = block.thread().products;
  if (!products.fenced()) {
    block.fail({function, where}, "no fence_products() since the group before");
  }
  products.add(product);
}
#endif

// c [64, kN] = a b^T, or added to it: 16 of the depth. A warp has rows 16 (warp % 4) and on, as
// fragments of eight columns.
#define FVLM_ACCUMULATORS(j) \
  "+f"(c[j].reg[0]), "+f"(c[j].reg[1]), "+f"(c[j].reg[2]), "+f"(c[j].reg[3])
template <int kN>
__device__ inline void multiply_shared(FragmentC (&c)[kN / 8], std::uint64_t a, std::uint64_t b,
                                       bool accumulate,
                                       [[maybe_unused]] Where where = Where::current()) {
  static_assert(kN == 64 || kN == 96 || kN == 128);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // clang-format off
  if constexpr (kN == 64) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
        "}, %32, %33, p, 1, 1, 0, 0;\n}"
        : FVLM_ACCUMULATORS(0), FVLM_ACCUMULATORS(1), FVLM_ACCUMULATORS(2), FVLM_ACCUMULATORS(3), FVLM_ACCUMULATORS(4), FVLM_ACCUMULATORS(5), FVLM_ACCUMULATORS(6), FVLM_ACCUMULATORS(7)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
  } else if constexpr (kN == 96) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
        "}, %48, %49, p, 1, 1, 0, 0;\n}"
        : FVLM_ACCUMULATORS(0), FVLM_ACCUMULATORS(1), FVLM_ACCUMULATORS(2), FVLM_ACCUMULATORS(3), FVLM_ACCUMULATORS(4), FVLM_ACCUMULATORS(5), FVLM_ACCUMULATORS(6), FVLM_ACCUMULATORS(7), FVLM_ACCUMULATORS(8), FVLM_ACCUMULATORS(9), FVLM_ACCUMULATORS(10), FVLM_ACCUMULATORS(11)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
  } else {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, p, 1, 1, 0, 0;\n}"
        : FVLM_ACCUMULATORS(0), FVLM_ACCUMULATORS(1), FVLM_ACCUMULATORS(2), FVLM_ACCUMULATORS(3), FVLM_ACCUMULATORS(4), FVLM_ACCUMULATORS(5), FVLM_ACCUMULATORS(6), FVLM_ACCUMULATORS(7), FVLM_ACCUMULATORS(8), FVLM_ACCUMULATORS(9), FVLM_ACCUMULATORS(10), FVLM_ACCUMULATORS(11), FVLM_ACCUMULATORS(12), FVLM_ACCUMULATORS(13), FVLM_ACCUMULATORS(14), FVLM_ACCUMULATORS(15)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
  }
  // clang-format on
#elif !defined(__CUDACC__)
  add_product({.a = a,
               .a_registers = nullptr,
               .b = b,
               .c = c[0].reg,
               .columns = kN,
               .accumulate = accumulate},
              "multiply_shared", where);
#endif
}
// The same with a warp's rows of a in registers, which stay as they are until it is waited for.
template <int kN>
__device__ inline void multiply_registers(FragmentC (&c)[kN / 8], const FragmentA<BFloat16>& a,
                                          std::uint64_t b, bool accumulate,
                                          [[maybe_unused]] Where where = Where::current()) {
  static_assert(kN == 64 || kN == 128);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // clang-format off
  if constexpr (kN == 64) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
        "}, {%32, %33, %34, %35}, %36, p, 1, 1, 0;\n}"
        : FVLM_ACCUMULATORS(0), FVLM_ACCUMULATORS(1), FVLM_ACCUMULATORS(2), FVLM_ACCUMULATORS(3), FVLM_ACCUMULATORS(4), FVLM_ACCUMULATORS(5), FVLM_ACCUMULATORS(6), FVLM_ACCUMULATORS(7)
        : "r"(a.reg[0]), "r"(a.reg[1]), "r"(a.reg[2]), "r"(a.reg[3]), "l"(b), "r"(static_cast<int>(accumulate)));
  } else {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"
        : FVLM_ACCUMULATORS(0), FVLM_ACCUMULATORS(1), FVLM_ACCUMULATORS(2), FVLM_ACCUMULATORS(3), FVLM_ACCUMULATORS(4), FVLM_ACCUMULATORS(5), FVLM_ACCUMULATORS(6), FVLM_ACCUMULATORS(7), FVLM_ACCUMULATORS(8), FVLM_ACCUMULATORS(9), FVLM_ACCUMULATORS(10), FVLM_ACCUMULATORS(11), FVLM_ACCUMULATORS(12), FVLM_ACCUMULATORS(13), FVLM_ACCUMULATORS(14), FVLM_ACCUMULATORS(15)
        : "r"(a.reg[0]), "r"(a.reg[1]), "r"(a.reg[2]), "r"(a.reg[3]), "l"(b), "r"(static_cast<int>(accumulate)));
  }
  // clang-format on
#elif !defined(__CUDACC__)
  add_product({.a = 0,
               .a_registers = a.reg,
               .b = b,
               .c = c[0].reg,
               .columns = kN,
               .accumulate = accumulate},
              "multiply_registers", where);
#endif
}
#undef FVLM_ACCUMULATORS

}  // namespace fvlm::FVLM_CUDA_TARGET
