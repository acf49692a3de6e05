// Speed of the SIMD kernels on one core, on the shapes of the 0.5b model at 1024 x 1024 pixels:
// GFLOP/s (a multiply-add counts two) and GB/s of the memory that has to be read or written once.
// Run it with `taskset -c 0`, and compare with the throughput of a large GEMM on one core.
#include "kernels/cpu/simd/simd.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "fvlm/ops/batch.hpp"

namespace fvlm {
namespace {

std::vector<float> random(std::int64_t count) {
  std::mt19937 bits(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = uniform(bits);
  return values;
}

// Tensors as the engine has them: aligned, and on huge pages when large.
class Floats {
 public:
  explicit Floats(std::int64_t count)
      : buffer_(static_cast<std::size_t>(count) * sizeof(float)), count_(count) {
    const auto values = random(std::min<std::int64_t>(count, 1 << 16));
    for (std::int64_t i = 0; i < count; ++i) {
      data()[i] = values[static_cast<std::size_t>(i) % values.size()];
    }
  }
  float* data() const { return buffer_.as<float>(); }
  std::int64_t count() const { return count_; }

 private:
  Buffer buffer_;
  std::int64_t count_;
};

// Amounts of one iteration.
void report(benchmark::State& state, double flops, double bytes) {
  const auto rate = [](double amount) {
    return benchmark::Counter(amount * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["GFLOP/s"] = rate(flops);
  state.counters["GB/s"] = rate(bytes);
}

void depthwise(benchmark::State& state) {
  const std::int64_t side = state.range(0);
  const DepthwiseSpec spec{.in = state.range(1),
                           .multiplier = state.range(4),
                           .kernel = state.range(2),
                           .stride = state.range(3),
                           .convolution = "",
                           .batch_norm = ""};
  const std::int64_t taps = spec.kernel * spec.kernel;
  const auto weights = simd::pack_depthwise(spec, {random(taps * spec.out()), random(spec.out())});
  const Floats input(side * side * spec.in);
  const FeatureMap<const float> in{input.data(), 1, side, side, spec.in};
  const std::int64_t out_side = side / spec.stride;
  const Floats out(out_side * out_side * spec.out());
  const auto activation = state.range(5) == 0 ? Activation::kNone : Activation::kGelu;
  for (auto _ : state) simd::depthwise(in, 0, weights, activation, 0, out_side, out.data());
  const auto outputs = static_cast<double>(out.count());
  report(state, outputs * 2 * static_cast<double>(taps),
         (static_cast<double>(in.elements()) + outputs) * sizeof(float));
}
BENCHMARK(depthwise)
    ->ArgNames({"side", "channels", "kernel", "stride", "multiplier", "gelu"})
    ->Args({512, 96, 3, 2, 1, 1})
    ->Args({256, 96, 3, 1, 1, 0})
    ->Args({256, 96, 7, 1, 1, 0})
    ->Args({128, 192, 7, 1, 1, 0})
    ->Args({64, 384, 7, 1, 1, 0})
    ->Args({32, 768, 7, 1, 1, 0})
    ->Args({16, 1536, 7, 1, 1, 0})
    ->Args({256, 96, 7, 2, 2, 1})
    ->Args({64, 384, 7, 2, 2, 1})
    ->Args({16, 1536, 3, 1, 2, 0});

void stem(benchmark::State& state) {
  const std::int64_t side = state.range(0);
  const std::int64_t channels = state.range(1);
  const auto weights = simd::pack_stem({random(27 * channels), random(channels)});
  const std::vector<std::uint8_t> bytes(static_cast<std::size_t>(side * side * 3), 100);
  const FeatureMap<const std::uint8_t> pixels{bytes.data(), 1, side, side, 3};
  const Floats out(side / 2 * side / 2 * channels);
  for (auto _ : state) simd::stem(pixels, 0, weights, 0, side / 2, out.data());
  const auto outputs = static_cast<double>(out.count());
  report(state, outputs * 2 * 27, outputs * sizeof(float) + static_cast<double>(bytes.size()));
}
BENCHMARK(stem)->ArgNames({"side", "channels"})->Args({1024, 96});

template <class Weight>
void matvec(benchmark::State& state) {
  const std::int64_t inputs = state.range(0);
  const std::int64_t outputs = state.range(1);
  const std::int64_t width = state.range(2);
  const Buffer buffer(static_cast<std::size_t>(outputs * width) * sizeof(Weight));
  auto* weight = buffer.as<Weight>();
  std::fill_n(weight, outputs * width, Weight(0.5F));
  const auto x = random(inputs * width);
  std::vector<float> out(static_cast<std::size_t>(inputs * outputs));
  const simd::MatVec m{.x = x.data(),
                       .inputs = inputs,
                       .padded = width,
                       .bias = nullptr,
                       .out = out.data(),
                       .out_stride = outputs,
                       .accumulate = false};
  for (auto _ : state) simd::matvec(weight, m, 0, outputs);
  report(state, 2.0 * static_cast<double>(inputs * outputs * width),
         static_cast<double>(buffer.bytes()));
}
void matvec_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"inputs", "outputs", "width"});
  for (const std::int64_t inputs : {1, 2, 4, 7, 8}) benchmark->Args({inputs, 151936, 896});
  for (const std::int64_t inputs : {1, 8}) benchmark->Args({inputs, 24 * 896, 4864});  // all layers
}
BENCHMARK(matvec<float>)->Apply(matvec_shapes);
BENCHMARK(matvec<BFloat16>)->Apply(matvec_shapes);

void attention(benchmark::State& state) {
  const std::int64_t queries = state.range(0);
  const std::int64_t keys = state.range(1);
  const std::int64_t head_dim = state.range(2);
  const std::int64_t pages = (keys + kPageTokens - 1) / kPageTokens;
  const auto k = random(pages * kPageTokens * head_dim);
  const auto v = random(pages * kPageTokens * head_dim);
  const auto query = random(queries * head_dim);
  std::vector<const float*> key_pages;
  std::vector<const float*> value_pages;
  for (std::int64_t i = 0; i < pages; ++i) {
    key_pages.push_back(k.data() + i * kPageTokens * head_dim);
    value_pages.push_back(v.data() + i * kPageTokens * head_dim);
  }
  std::vector<float> scores(static_cast<std::size_t>(queries * pages * kPageTokens));
  std::vector<float> out(static_cast<std::size_t>(queries * head_dim));
  const simd::AttentionBlock block{.key_pages = key_pages.data(),
                                   .value_pages = value_pages.data(),
                                   .keys = keys,
                                   .head_dim = head_dim,
                                   .scale = 0.1F,
                                   .query = query.data(),
                                   .query_stride = head_dim,
                                   .queries = queries,
                                   .scores = scores.data(),
                                   .out = out.data(),
                                   .out_stride = head_dim};
  for (auto _ : state) simd::attention(block);
  const auto products = static_cast<double>(queries * keys * head_dim);
  report(state, 4 * products, 8 * static_cast<double>(keys * head_dim));
}
BENCHMARK(attention)
    ->ArgNames({"queries", "keys", "head_dim"})
    ->Args({1, 1024, 64})
    ->Args({7, 1024, 64})
    ->Args({8, 256, 32})
    ->Args({8, 1024, 32})
    ->Args({8, 1024, 64})
    ->Args({8, 1024, 80})
    ->Args({8, 1024, 128});

template <class T>
void gelu(benchmark::State& state) {
  // In place over and over: of a value that stays, or all would soon be denormal and slow.
  std::vector<T> x(static_cast<std::size_t>(state.range(0)), T(8.0F));
  for (auto _ : state) simd::gelu(x.data(), std::ssize(x));
  report(state, 0, 2.0 * sizeof(T) * static_cast<double>(x.size()));
}
BENCHMARK(gelu<float>)->Arg(4096)->Arg(1 << 24);
BENCHMARK(gelu<BFloat16>)->Arg(4096)->Arg(1 << 24);

void swiglu(benchmark::State& state) {
  const auto gate = random(state.range(0));
  const auto up = random(state.range(0));
  std::vector<float> out(gate.size());
  for (auto _ : state) simd::swiglu(gate.data(), up.data(), out.data(), std::ssize(out));
  report(state, 0, 12 * static_cast<double>(out.size()));
}
BENCHMARK(swiglu)->Arg(4864);

void layer_norm(benchmark::State& state) {
  const auto x = random(state.range(0));
  std::vector<float> out(x.size());
  for (auto _ : state) {
    simd::layer_norm(x.data(), x.data(), x.data(), 1e-5F, out.data(), std::ssize(x));
  }
  report(state, 0, 8 * static_cast<double>(x.size()));
}
BENCHMARK(layer_norm)->Arg(768)->Arg(1536);

}  // namespace
}  // namespace fvlm

BENCHMARK_MAIN();
