#include "kernels/cpu/limits.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "fvlm/core/buffer.hpp"
#include "fvlm/core/element.hpp"
#include "kernels/cpu/matmul.hpp"

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

// Every thread multiplies matrices of its own by one of size [size, size]: no thread waits for
// another.
double matmul_flops(int threads, std::int64_t rows, std::int64_t size, bool bf16) {
  // Ordinary numbers, in either type: zeros are multiplied faster than real data on some machines.
  const auto fill = [&](const Buffer& buffer) {
    if (bf16) {
      auto* values = buffer.as<BFloat16>();
      for (std::size_t i = 0; i < buffer.bytes() / sizeof(BFloat16); ++i)
        values[i] = BFloat16(static_cast<float>(i % 37) / 16 - 1);
    } else {
      auto* values = buffer.as<float>();
      for (std::size_t i = 0; i < buffer.bytes() / sizeof(float); ++i)
        values[i] = static_cast<float>(i % 37) / 16 - 1;
    }
  };
  const std::size_t element = bf16 ? sizeof(BFloat16) : sizeof(float);
  std::vector<Buffer> in(static_cast<std::size_t>(threads));
  std::vector<Buffer> out(static_cast<std::size_t>(threads));
  const Buffer weight_rows(size * size * element);
  fill(weight_rows);
  const PackedMatrix weights(size, size, bf16, weight_rows.as<std::byte>());
  for (std::size_t t = 0; t < in.size(); ++t) {
    in[t] = Buffer(rows * size * element);
    out[t] = Buffer(rows * size * sizeof(float));
    fill(in[t]);
  }
  const MatMulShape shape{
      .rows = rows, .in = size, .out = size, .in_stride = size, .out_stride = size, .bf16 = bf16};
  MatMulCache products;
  // About the same work for each size.
  const auto repeats = static_cast<int>(8'000'000'000 / (rows * size * size));
  const double seconds = best_seconds(6, [&] {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
      const auto i = static_cast<std::size_t>(t);
      for (int repeat = 0; repeat < repeats; ++repeat) {
        products.multiply(shape, in[i].as<std::byte>(), weights, nullptr, out[i].as<std::byte>(),
                          {});
      }
    }
  });
  return 2.0 * repeats * threads * static_cast<double>(rows * size * size) / seconds;
}

// The best of a large GEMM and of one whose operands stay in a core's L2, which on processors with
// matrix units (AMX) is twice as fast.
double matmul_flops(int threads, bool bf16) {
  return std::max(matmul_flops(threads, 512, 2048, bf16), matmul_flops(threads, 256, 512, bf16));
}

double read_bandwidth(int threads) {
  constexpr std::int64_t kWords = std::int64_t{1} << 27;  // 1 GiB: beyond any cache
  const Buffer memory(kWords * sizeof(std::uint64_t));
  auto* words = memory.as<std::uint64_t>();
#pragma omp parallel for num_threads(threads)
  for (std::int64_t i = 0; i < kWords; ++i) words[i] = static_cast<std::uint64_t>(i);
  // Each thread reads several streams, one 64-byte cache line from each in turn: that keeps more
  // memory channels busy than one stream does.
  constexpr std::int64_t kPlaces = 4;
  constexpr std::int64_t kLine = 8;
  std::uint64_t sum = 0;
  const double seconds = best_seconds(8, [&] {
#pragma omp parallel num_threads(threads) reduction(+ : sum)
    {
      const std::int64_t stretch = kWords / (kPlaces * omp_get_num_threads()) / kLine * kLine;
      const std::uint64_t* first = words + kPlaces * stretch * omp_get_thread_num();
      for (std::int64_t i = 0; i < stretch; i += kLine) {
        for (std::int64_t place = 0; place < kPlaces; ++place) {
          for (std::int64_t k = 0; k < kLine; ++k) sum += first[place * stretch + i + k];
        }
      }
    }
  });
  volatile std::uint64_t keep = sum;  // keeps the compiler from removing the sum
  static_cast<void>(keep);
  return static_cast<double>(memory.bytes()) / seconds;
}

}  // namespace

CpuLimits measure_cpu_limits(int threads) {
  return {matmul_flops(threads, false), has_native_bf16() ? matmul_flops(threads, true) : 0,
          read_bandwidth(threads)};
}

}  // namespace fvlm
