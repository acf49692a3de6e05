#include "kernels/cpu/limits.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "fvlm/core/buffer.hpp"
#include "kernels/cpu/gemm/gemm.hpp"
#include "kernels/support/thread_team.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;

// The shortest of several runs: the machine's limit, not what other load leaves of it.
template <class Work>
double best_seconds(int runs, const Work& work) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

// Keeps the compiler from leaving out what made the value.
template <class T>
void keep(T value) {
  volatile T kept = value;
  static_cast<void>(kept);
}

double peak_flops(gemm::Kernel kernel, ThreadTeam& team) {
  constexpr std::int64_t kRounds = 1 << 21;
  std::atomic<std::int64_t> products = 0;
  const double seconds = best_seconds(16, [&] {
    products = 0;
    team.for_each(team.size(), [&](std::int64_t) {
      float result = 0;
      products += gemm::multiply_adds(kernel, kRounds, &result);
      keep(result);
    });
  });
  return 2.0 * static_cast<double>(products) / seconds;
}

double read_bandwidth(ThreadTeam& team) {
  constexpr std::int64_t kWords = std::int64_t{1} << 27;  // 1 GiB: beyond any cache
  const Buffer memory(kWords * sizeof(std::uint64_t));
  auto* words = memory.as<std::uint64_t>();
  team.for_blocks(kWords, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) words[i] = static_cast<std::uint64_t>(i);
  });
  // Each thread reads several streams, one 64-byte cache line from each in turn: that keeps more
  // memory channels busy than one stream does.
  constexpr std::int64_t kPlaces = 4;
  constexpr std::int64_t kLine = 8;
  const std::int64_t stretch = kWords / (kPlaces * team.size()) / kLine * kLine;
  const double seconds = best_seconds(8, [&] {
    team.for_each(team.size(), [&](std::int64_t part) {
      const std::uint64_t* first = words + kPlaces * stretch * part;
      std::uint64_t sum = 0;
      for (std::int64_t i = 0; i < stretch; i += kLine) {
        for (std::int64_t place = 0; place < kPlaces; ++place) {
          for (std::int64_t k = 0; k < kLine; ++k) sum += first[place * stretch + i + k];
        }
      }
      keep(sum);
    });
  });
  return static_cast<double>(memory.bytes()) / seconds;
}

}  // namespace

CpuLimits measure_cpu_limits(int threads) {
  ThreadTeam team(threads);
  const gemm::Kernel bf16 = gemm::bf16_kernel();
  return {peak_flops(gemm::Kernel::kFloat, team),
          bf16 == gemm::Kernel::kFloat ? 0 : peak_flops(bf16, team), read_bandwidth(team)};
}

}  // namespace fvlm
