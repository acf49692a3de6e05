// The Cpu backend's operations at the shapes of FastVLM 0.5B, all cores. GFLOP/s and GB/s are of
// the operation as the WorkCounter backend counts it; compare them with the roofline of `fastvlm
// bench`.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu.hpp"

namespace fvlm {
namespace {

Cpu& cpu() {
  static Cpu backend;
  return backend;
}

Cpu::Context& context() {
  static Cpu::Context scratch(std::size_t{256} << 20);
  return scratch;
}

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 37) / 16 - 1;
  return values;
}

Cpu::Linear linear(std::int64_t in, std::int64_t out, Rows rows) {
  const std::vector<float> weight = numbers(in * out);
  HostLinear host{.out = out, .in = in};
  host.blocks.push_back({DType::kF32, reinterpret_cast<const std::byte*>(weight.data()), out});
  return cpu().pack(LinearSpec{.in = in, .parts = {{"", out}}, .bias = false, .rows = rows}, host);
}

Cpu::Depthwise depthwise(std::int64_t channels) {
  const DepthwiseSpec spec{.in = channels, .kernel = 7};
  return cpu().pack(spec, HostDepthwise{numbers(49 * channels), numbers(channels)});
}

void report(benchmark::State& state, double flops, double weight_bytes) {
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * runs / 1e9, benchmark::Counter::kIsRate);
  state.counters["weights GB/s"] =
      benchmark::Counter(weight_bytes * runs / 1e9, benchmark::Counter::kIsRate);
}

// Arguments: positions a side, channels.
void conv_ffn(benchmark::State& state) {
  const std::int64_t side = state.range(0);
  const std::int64_t channels = state.range(1);
  const Cpu::Depthwise conv = depthwise(channels);
  const Cpu::Linear fc1 = linear(channels, 4 * channels, Rows::kPositions);
  const Cpu::Linear fc2 = linear(4 * channels, channels, Rows::kPositions);
  std::vector<float> x = numbers(side * side * channels);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    cpu().conv_ffn(context(), {x.data(), 1, side, side, channels}, conv, fc1, fc2,
                   {y.data(), 1, side, side, channels});
  }
  const auto size = static_cast<double>(side * side * channels);
  report(state, size * (98 + 16 * static_cast<double>(channels)),
         32 * static_cast<double>(channels * channels));
}
BENCHMARK(conv_ffn)
    ->Args({256, 96})
    ->Args({128, 192})
    ->Args({64, 384})
    ->Args({32, 768})
    ->Args({16, 1536})
    ->UseRealTime();

void image_attention(benchmark::State& state) {
  const std::int64_t tokens = state.range(0);
  const std::int64_t channels = state.range(1);
  std::vector<float> qkv = numbers(tokens * 3 * channels);
  std::vector<float> out(static_cast<std::size_t>(tokens * channels));
  for (auto _ : state) {
    cpu().image_attention(context(), {qkv.data(), tokens, 3 * channels, 3 * channels}, 1, 32,
                          {out.data(), tokens, channels, channels});
  }
  report(state, 4.0 * static_cast<double>(tokens * tokens * channels), 0);
}
BENCHMARK(image_attention)->Args({1024, 768})->Args({256, 1536})->UseRealTime();

// Arguments: rows, in, out; up to 64 rows are of a decode pass.
void token_linear(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  const std::int64_t in = state.range(1);
  const std::int64_t out = state.range(2);
  const Cpu::Linear weights = linear(in, out, Rows::kTokens);
  std::vector<float> x = numbers(rows * in);
  std::vector<float> y(static_cast<std::size_t>(rows * out));
  context().is_prefill = rows > 64;
  for (auto _ : state)
    cpu().linear(context(), {x.data(), rows, in, in}, weights, {}, {y.data(), rows, out, out});
  const auto size = static_cast<double>(in * out);
  report(state, 2 * static_cast<double>(rows) * size, 2 * size);
}
BENCHMARK(token_linear)
    ->Args({1, 896, 151936})
    ->Args({1, 896, 9728})
    ->Args({8, 896, 9728})
    ->Args({16, 896, 9728})
    ->Args({64, 896, 9728})
    ->Args({280, 896, 9728})
    ->Args({280, 4864, 896})
    ->UseRealTime();

}  // namespace
}  // namespace fvlm
