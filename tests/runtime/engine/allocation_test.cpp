// Nothing grows after loading: what passes need beside bookkeeping was planned (context_plan.hpp).
// A program of its own, because it looks at every allocation, those of libraries among them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/engine/load_runner.hpp"
#include "tests/support/devices.hpp"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

// Bookkeeping: lists of arguments and of segments, tasks.
constexpr std::size_t kSmall = 4096;

std::atomic<bool> watched = false;
std::atomic<int> large_allocations = 0;
std::atomic<std::size_t> largest = 0;

void count(std::size_t bytes) {
  if (bytes <= kSmall || !watched) return;
  ++large_allocations;
  if (bytes > largest) largest = bytes;
}

}  // namespace

// In front of glibc's.
extern "C" {
void* __libc_malloc(std::size_t bytes);                           // NOLINT
void* __libc_calloc(std::size_t count, std::size_t bytes);        // NOLINT
void* __libc_realloc(void* block, std::size_t bytes);             // NOLINT
void* __libc_memalign(std::size_t alignment, std::size_t bytes);  // NOLINT

void* malloc(std::size_t bytes) {
  count(bytes);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t items, std::size_t bytes) {
  count(items * bytes);
  return __libc_calloc(items, bytes);
}
void* realloc(void* block, std::size_t bytes) {
  count(bytes);
  return __libc_realloc(block, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count(bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  count(bytes);
  *block = __libc_memalign(alignment, bytes);
  return *block == nullptr ? ENOMEM : 0;
}
}

namespace fvlm {
namespace {

class AllocationTest : public testing::TestWithParam<std::tuple<Device, Precision>> {};

TEST_P(AllocationTest, PassesTakeNoMemory) {
  const auto [device, precision] = GetParam();
  const Checkpoint checkpoint =
      Checkpoint::open(std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny" / "checkpoint");
  const BackendChoice choice{
      .device = device, .precision = precision, .threads = 2, .cache_tokens = 8 * kPageTokens};
  const auto runner = load_runner(checkpoint, choice);
  EXPECT_EQ(plan_memory(checkpoint, choice).scratch, runner->facts().scratch_bytes);
  const FastVlmConfig& config = runner->config();
  const std::int64_t side = config.vision.image_size;
  std::vector<Pixels> pictures;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(2, runner->limits().images); ++i)
    pictures.push_back(runner->pixel_memory(static_cast<std::size_t>(side * side * 3)));

  std::vector<std::int32_t> pages(4);
  std::iota(pages.begin(), pages.end(), 0);
  const std::vector<std::int32_t> text(100, 5);
  const std::int64_t rows = config.vision.tokens() + std::ssize(text);
  PrefillPass prompt{.input = {{.image = 0}, {.ids = text}}, .batch = {}, .last_rows = {rows - 1}};
  prompt.batch.add(rows, 0, pages);
  std::vector<DecoderBatch> answers(2);  // of one sequence and of many
  answers[0].add(1, rows, pages);
  for (std::int64_t i = 0; i < 20; ++i) answers[1].add(1, rows + i, pages);
  const auto run_passes = [&] {
    runner->encode(pictures, {});
    runner->encode(std::span(pictures).first(1), {});
    runner->prefill(prompt, {.vocabulary = config.text.vocab_size}, {});
    for (const DecoderBatch& batch : answers) {
      runner->decode(std::span(text).first(static_cast<std::size_t>(batch.rows())), batch,
                     {.vocabulary = config.text.vocab_size});
    }
    runner->copy_page(0, 7);
  };
  if (device == Device::kCudaEmulated) run_passes();  // the emulated device takes stacks of its own
  watched = true;
  run_passes();
  watched = false;
  EXPECT_EQ(large_allocations, 0) << "the largest of " << largest << " bytes";
  large_allocations = 0;
  largest = 0;
}

std::string name_of(const testing::TestParamInfo<std::tuple<Device, Precision>>& info) {
  constexpr std::array kPrecisions = {"auto", "f32", "bf16", "int8", "int4"};
  return kPrecisions.at(static_cast<std::size_t>(std::get<1>(info.param))) +
         device_suffix(std::get<0>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Formats, AllocationTest,
                         testing::Combine(testing::Values(Device::kCpu),
                                          testing::Values(Precision::kF32, Precision::kBF16,
                                                          Precision::kInt8, Precision::kInt4)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Devices, AllocationTest,
                         testing::Combine(every_device(), testing::Values(Precision::kBF16)),
                         name_of);

}  // namespace
}  // namespace fvlm

#endif
