// Products whatever the number of threads: below, at and above that of the cores.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <vector>

#include "kernels/cpu/cpu.hpp"
#include "kernels/ref/ref.hpp"
#include "tests/kernels/backend_fixture.hpp"

namespace fvlm {
namespace {

constexpr std::array kThreads = {1, 2, 3, 4, 8, 16};

double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class Threads : public testing::Test, protected RandomParameters {};

// The shapes of a small encoder's and decoder's layers, and some that fill no block.
TEST_F(Threads, AnyNumberGivesTheProduct) {
  Cpu::Context context(std::size_t{64} << 20);
  context.is_prefill = true;
  for (const auto& [rows, in, out] : std::vector<std::array<std::int64_t, 3>>{
           {256, 96, 384}, {256, 384, 96}, {40, 768, 3072}, {33, 70, 130}}) {
    for (const WeightFormat& format : {WeightFormat::kF32, WeightFormat::kBF16}) {
      for (const Rows kind : {Rows::kPositions, Rows::kTokens}) {
        const LinearSpec spec{.in = in, .parts = {{"", out}}, .bias = true, .rows = kind};
        const HostLinear host = host_linear(spec);
        std::vector<float> x = random(rows * in);
        std::vector<float> want = filled(rows * out);
        const bool narrow =
            format != WeightFormat::kF32 && gemm::bf16_kernel() != gemm::Kernel::kFloat;
        Ref oracle(narrow || kind == Rows::kTokens ? format : WeightFormat::kF32);
        oracle.linear(context, view(x, rows), oracle.pack(spec, host), {}, view(want, rows));
        for (const int threads : kThreads) {
          SCOPED_TRACE(fmt::format("{} threads, {}x{}x{}, {}", threads, rows, in, out,
                                   kind == Rows::kTokens ? "tokens" : "positions"));
          Cpu cpu({.formats = format, .threads = threads});
          std::vector<float> got = filled(rows * out);
          cpu.linear(context, view(x, rows), cpu.pack(spec, host), {}, view(got, rows));
          EXPECT_LT(relative_error(got, want), narrow ? 6e-3 : 1e-5);
        }
      }
    }
  }
}

TEST_F(Threads, OneIsOne) {
  Cpu cpu({.formats = WeightFormat::kF32, .threads = 1});
  Cpu::Context context(std::size_t{64} << 20);
  const LinearSpec spec{.in = 1024, .parts = {{"", 2048}}, .rows = Rows::kPositions};
  const Cpu::Linear weights = cpu.pack(spec, host_linear(spec));
  std::vector<float> x = random(256 * 1024);
  std::vector<float> out = filled(256 * 2048);
  const double all = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double own = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < 50; ++i) cpu.linear(context, view(x, 256), weights, {}, view(out, 256));
  const double used = seconds_of(CLOCK_THREAD_CPUTIME_ID) - own;
  EXPECT_LT(seconds_of(CLOCK_PROCESS_CPUTIME_ID) - all, 1.2 * used + 0.02);
}

}  // namespace
}  // namespace fvlm
