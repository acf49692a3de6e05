// Stores of boxes by TMA, as the emulator models them: what is stored, where a matrix ends, and
// that a box must be fenced, committed and waited for.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/hopper.hpp"
#include "kernels/cuda/primitives/vec.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

enum class StoreFault { kNone, kNoFence, kNoCommit, kNoWait, kWrittenAgain };

constexpr int kRows = 16;

// What is stored at (row, column): as bits, so that all are different.
BFloat16 element(std::int64_t row, std::int64_t column) {
  BFloat16 x;
  x.bits = static_cast<std::uint16_t>(row * kBoxDepth + column);
  return x;
}

// Two boxes [kRows, kDepth], one after the other by way of the same memory, to rows from 0 and from
// kRows on.
template <StoreFault kFault, int kDepth>
__global__ void store_boxes(const __grid_constant__ TensorMap to) {
  constexpr int kPieces = kDepth / 8;
  constexpr int kRowsInBanks = 8 / kPieces;
  auto* const box = dynamic_shared<BFloat16>();
  for (int first = 0; first < 2 * kRows; first += kRows) {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += 32) {
      const int row = i / kPieces;
      Vec<BFloat16, 8> piece;
      for (int k = 0; k < 8; ++k) piece[k] = element(first + row, i % kPieces * 8 + k);
      store(box + row * kDepth + (i % kPieces ^ row / kRowsInBanks % kPieces) * 8, piece);
    }
    if (kFault != StoreFault::kNoFence) fence_async_proxy();
    __syncwarp();
    if (threadIdx.x == 0) {
      store_box(to, first, 0, box);
      if (kFault != StoreFault::kNoCommit) commit_stores();
      if (kFault == StoreFault::kWrittenAgain) {
        wait_for_stores<1>();
      } else if (kFault != StoreFault::kNoWait) {
        wait_for_stores<0>();
      }
    }
    __syncwarp();
  }
  if (threadIdx.x == 0 && kFault != StoreFault::kNoWait) wait_for_stores<0>();
}

struct Result {
  int right = 0;
  int wrong = 0;
  int outside = 0;  // of the matrix, and changed
};

// A matrix that is smaller than the two boxes, in the middle of more memory.
template <StoreFault kFault, int kDepth>
Result stored() {
  constexpr std::int64_t kStride = 80;
  constexpr std::int64_t kMatrixRows = 27;
  constexpr std::int64_t kMatrixCols = kDepth - 11;
  std::vector<BFloat16> memory(static_cast<std::size_t>(34 * kStride), element(1023, 63));
  BFloat16* const first = memory.data() + kStride;
  run<store_boxes<kFault, kDepth>>(
      1, 32, kRows * kDepth * sizeof(BFloat16),
      tensor_map<kTarget>({first, kMatrixRows, kMatrixCols, kStride}, kRows, kDepth));
  Result result;
  for (std::int64_t r = -1; r < 33; ++r) {
    for (std::int64_t c = 0; c < kStride; ++c) {
      const auto bits = first[r * kStride + c].bits;
      if (r < 0 || r >= kMatrixRows || c >= kMatrixCols) {
        result.outside += bits != element(1023, 63).bits ? 1 : 0;
      } else {
        ++(bits == element(r, c).bits ? result.right : result.wrong);
      }
    }
  }
  return result;
}

template <StoreFault kFault>
std::string problem() {
  std::vector<BFloat16> memory(std::size_t{2} * kRows * kBoxDepth);
  return failure<store_boxes<kFault, kBoxDepth>>(
      1, 32, kRows * kBoxDepth * sizeof(BFloat16),
      tensor_map<kTarget>({memory.data(), 2 * kRows, kBoxDepth, kBoxDepth}, kRows));
}

TEST(CudaBoxStore, StoresWhatIsInTheMatrix) {
  const Result wide = stored<StoreFault::kNone, kBoxDepth>();
  EXPECT_EQ(wide.right, 27 * 53);
  EXPECT_EQ(wide.wrong + wide.outside, 0);
  const Result narrow = stored<StoreFault::kNone, kNarrowBoxDepth>();
  EXPECT_EQ(narrow.right, 27 * 21);
  EXPECT_EQ(narrow.wrong + narrow.outside, 0);
}

TEST(CudaBoxStore, ABoxThatIsWrittenAgainTooEarlyIsStoredWrong) {
  EXPECT_GE((stored<StoreFault::kWrittenAgain, kBoxDepth>().wrong), kRows * 53);
}

TEST(CudaBoxStore, WhatIsForgottenIsReported) {
  expect_in_order(problem<StoreFault::kNoFence>(),
                  {"store_boxes", "store_box (box_store_test.cpp:", "fence_async_proxy()"});
  expect_in_order(problem<StoreFault::kNoCommit>(),
                  {"store_boxes", "(0, 0, 0)", "wait_for_stores()"});
  expect_in_order(problem<StoreFault::kNoWait>(),
                  {"store_boxes", "(0, 0, 0)", "wait_for_stores()"});
}

}  // namespace
}  // namespace fvlm::emulated
