// Operations of the Cpu backend write no scratch memory but what scratch() says they need: each
// runs over an arena of exactly that size, with guarded bytes behind it, and computes what it
// computes over a large one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/cpu.hpp"
#include "tests/kernels/backend_fixture.hpp"

namespace fvlm {
namespace {

struct Format {
  std::string name;
  WeightFormat format;
  bool is_prefill;
};

class CpuScratch : public testing::TestWithParam<Format>, protected RandomParameters {
 protected:
  // Runs the operation, which writes [rows, cols], over as much memory as `shape` asks for.
  template <class Shape>
  void expect_enough(const Shape& shape, std::int64_t rows, std::int64_t cols,
                     const std::function<void(Cpu::Context&, View<float>)>& operation) {
    Arena measuring = Arena::measuring();
    cpu_.scratch(measuring, shape);
    std::vector<float> want = filled(rows * cols, 0);
    std::vector<float> got = want;
    Cpu::Context large(std::size_t{16} << 20);
    large.is_prefill = GetParam().is_prefill;
    operation(large, view(want, rows));
    const std::size_t bytes = measuring.high_water();
    const Buffer memory(bytes + kGuard);
    auto* const guard = memory.as<std::byte>() + bytes;
    std::fill_n(guard, kGuard, std::byte{0xA5});
    Cpu::Context exact;
    exact.is_prefill = GetParam().is_prefill;
    exact.arena() = Arena(memory.as<std::byte>(), bytes);
    operation(exact, view(got, rows));
    EXPECT_EQ(got, want);
    EXPECT_TRUE(
        std::all_of(guard, guard + kGuard, [](std::byte b) { return b == std::byte{0xA5}; }));
  }
  Cpu::Linear linear(std::int64_t in, std::int64_t out, Rows rows) {
    const LinearSpec spec{.in = in, .parts = {{"", out}}, .rows = rows};
    return cpu_.pack(spec, host_linear(spec));
  }

  static constexpr std::size_t kGuard = std::size_t{1} << 16;
  Cpu cpu_{{.formats = GetParam().format, .threads = 2}};
};

TEST_P(CpuScratch, Encoder) {
  constexpr std::int64_t kSide = 72;
  constexpr std::int64_t kChannels = 20;
  const DepthwiseSpec half{.in = kChannels, .kernel = 3, .stride = 2};
  const auto conv =
      cpu_.pack(StemSpec{kChannels}, HostStem{random(27 * kChannels, 0.01F), random(kChannels)});
  const auto filters = cpu_.pack(half, host_depthwise(half));
  const std::vector<std::uint8_t> pixels(kSide * kSide * 3, 100);
  expect_enough(StemShape{1, kSide, kSide, kChannels}, kSide * kSide / 16, kChannels,
                [&](auto& context, View<float> out) {
                  cpu_.stem(context, {pixels.data(), 1, kSide, kSide, 3}, conv, filters,
                            {out.data, 1, kSide / 4, kSide / 4, kChannels});
                });

  const DepthwiseSpec wide{.in = 48, .kernel = 7};
  const auto mixer = cpu_.pack(wide, host_depthwise(wide));
  const auto fc1 = linear(48, 192, Rows::kPositions);
  const auto fc2 = linear(192, 48, Rows::kPositions);
  std::vector<float> x = random(20 * 30 * 48);
  expect_enough(ConvFfnShape{1, 20, 30, fc1.shape, fc2.shape}, 20 * 30, 48,
                [&](auto& context, View<float> out) {
                  cpu_.conv_ffn(context, FeatureMap<float>{x.data(), 1, 20, 30, 48}, mixer, fc1,
                                fc2, {out.data, 1, 20, 30, 48});
                });
  expect_enough(LinearShape{600, fc1.shape}, 600, 192, [&](auto& context, View<float> out) {
    cpu_.linear(context, view(x, 600), fc1, {}, out);
  });

  std::vector<float> qkv = random(150 * 3 * 64);
  expect_enough(ImageAttentionShape{1, 150, 2, 32}, 150, 64, [&](auto& context, View<float> out) {
    cpu_.image_attention(context, view(qkv, 150), 1, 32, out);
  });

  const auto reduce = linear(48, 3, Rows::kPositions);
  const auto expand = linear(3, 48, Rows::kPositions);
  expect_enough(SqueezeExciteShape{1, reduce.shape, expand.shape}, 600, 48,
                [&](auto& context, View<float> out) {
                  cpu_.squeeze_excite(context, FeatureMap<float>{x.data(), 1, 20, 30, 48}, reduce,
                                      expand, {out.data, 1, 20, 30, 48});
                });
}

TEST_P(CpuScratch, Decoder) {
  const NormSpec spec{.channels = 100, .eps = 1e-6};
  const auto norm = cpu_.pack(spec, host_norm(spec));
  const auto matrix = linear(100, 150, Rows::kTokens);
  for (const std::int64_t rows : {1, 16, 17, 40}) {
    SCOPED_TRACE(rows);
    std::vector<float> x = random(rows * 100, 5);
    expect_enough(LinearShape{rows, matrix.shape}, rows, 150, [&](auto& context, View<float> out) {
      cpu_.linear(context, view(x, rows), matrix, {}, out);
    });
    expect_enough(SwigluShape{rows, matrix.shape}, rows, 75, [&](auto& context, View<float> out) {
      cpu_.swiglu(context, view(x, rows), norm, matrix, out);
    });
    expect_enough(LogitsShape{rows, matrix.shape}, rows, 150, [&](auto& context, View<float> out) {
      cpu_.logits(context, view(x, rows), norm, matrix, out);
    });
  }
  const std::vector<std::int32_t> ids = {1, 3};
  expect_enough(EmbedShape{2, matrix.shape}, 2, 100,
                [&](auto& context, View<float> out) { cpu_.embed(context, ids, matrix, out); });
}

TEST_P(CpuScratch, Attention) {
  constexpr std::int64_t kPages = 3;
  const AttentionShape shape{7, 1, 32};
  const std::int64_t hidden = shape.heads * shape.head_dim;
  const NormSpec spec{.channels = hidden, .eps = 1e-6};
  const auto norm = cpu_.pack(spec, host_norm(spec));
  const auto qkv = linear(hidden, hidden + 2 * shape.head_dim, Rows::kTokens);
  auto cache = cpu_.make_cache({1, kPages, shape.kv_heads, shape.head_dim}, shape);
  const std::vector<std::int32_t> pages = {0, 1, 2};
  constexpr std::int64_t kRows = kPages * kPageTokens;
  DecoderBatch batch;
  batch.add(kRows, 0, pages);
  batch.is_prefill = GetParam().is_prefill;
  std::vector<float> x = random(kRows * hidden);
  expect_enough(
      AttentionInputShape{kRows, qkv.shape}, kRows, hidden, [&](auto& context, View<float> out) {
        cpu_.attention_input(context, view(x, kRows), norm, qkv, shape, batch, 0, cache, out);
      });
  expect_enough(CachedAttentionShape{shape, cache.shape.tokens()}, kRows, hidden,
                [&](auto& context, View<float> out) {
                  cpu_.attention(context, view(x, kRows), shape, batch, 0, cache, out);
                });
}

INSTANTIATE_TEST_SUITE_P(Formats, CpuScratch,
                         testing::Values(Format{"f32", WeightFormat::kF32, false},
                                         Format{"bf16", WeightFormat::kBF16, false},
                                         Format{"int8", WeightFormat::int8(), false},
                                         Format{"int4", WeightFormat::int4(), false},
                                         Format{"f32_prefill", WeightFormat::kF32, true},
                                         Format{"bf16_prefill", WeightFormat::kBF16, true},
                                         Format{"int4_prefill", WeightFormat::int4(), true}),
                         [](const auto& mode) { return mode.param.name; });

}  // namespace
}  // namespace fvlm
