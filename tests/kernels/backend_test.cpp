// Every operation of the Cpu backend against Ref, on awkward shapes: odd counts, one row, channels
// that fill no vector, more rows than one band, with float32 and bfloat16 matrices, and with each
// of the GEMM's kernels, in plain loops where the processor does not have it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu.hpp"
#include "kernels/ref/ref.hpp"
#include "tests/kernels/backend_fixture.hpp"

namespace fvlm {
namespace {

struct Mode {
  std::string name;
  WeightFormat format;
  gemm::Kernel kernel;
  double tolerance;  // of the relative error; inputs rounded to bf16 cost about 2^-9, to int16 4e-5
};

class BackendTest : public testing::TestWithParam<Mode>, protected RandomParameters {
 protected:
  void SetUp() override {
    context_.arena() = memory_.arena();
    ref_context_.arena() = ref_memory_.arena();
  }
  void TearDown() override {
    memory_.expect_untouched_beyond(context_.arena());
    ref_memory_.expect_untouched_beyond(ref_context_.arena());
  }

  void expect_near(const std::vector<float>& got, const std::vector<float>& want) const {
    EXPECT_LT(relative_error(got, want), GetParam().tolerance);  // fails for NaN as well
  }

  // The oracle with the matrices as the Cpu backend rounds them.
  Ref& oracle(Rows rows) {
    const bool rounded = rows == Rows::kTokens || GetParam().kernel != gemm::Kernel::kFloat;
    return rounded ? ref_rounded_ : ref_;
  }

  template <class Spec, class Host>
  auto both(const Spec& spec, const Host& host, Rows rows = Rows::kPositions) {
    return std::pair(oracle(rows).pack(spec, host), cpu_.pack(spec, host));
  }
  auto both_linear(std::int64_t in, std::int64_t out, Rows rows, bool bias = true) {
    const LinearSpec spec{.in = in, .parts = {{"", out}}, .bias = bias, .rows = rows};
    return both(spec, host_linear(spec), rows);
  }

  static Cpu cpu_of(int threads) {
    return Cpu(
        {.formats = GetParam().format, .threads = threads, .bf16_kernel = GetParam().kernel});
  }

  Cpu cpu_ = cpu_of(3);
  Ref ref_{WeightFormat::kF32};
  Ref ref_rounded_{GetParam().format};
  WatchedMemory<> memory_{std::size_t{16} << 20};
  WatchedMemory<> ref_memory_{std::size_t{16} << 20};
  Cpu::Context context_;
  HostMemory::Context ref_context_;
};

TEST_P(BackendTest, Linear) {
  for (const Rows kind : {Rows::kPositions, Rows::kTokens}) {
    for (const auto& [rows, in, out] : std::vector<std::array<std::int64_t, 3>>{{1, 7, 50},
                                                                                {3, 48, 12},
                                                                                {9, 64, 130},
                                                                                {16, 100, 33},
                                                                                {17, 304, 448},
                                                                                {257, 33, 70},
                                                                                {530, 48, 128}}) {
      for (const bool bias : {true, false}) {
        for (const Epilogue epilogue : {Epilogue{}, Epilogue{.activation = Activation::kGelu},
                                        Epilogue{.accumulate = true}}) {
          SCOPED_TRACE(fmt::format("{}x{}x{} {}", rows, in, out,
                                   kind == Rows::kTokens ? "tokens" : "positions"));
          const auto [plain, fast] = both_linear(in, out, kind, bias);
          std::vector<float> x = random(rows * in);
          const std::vector<float> before = random(rows * out);
          std::vector<float> want = before;
          ref_.linear(ref_context_, view(x, rows), plain, epilogue, view(want, rows));
          for (const bool is_prefill : {false, true}) {
            context_.is_prefill = is_prefill;
            std::vector<float> got = before;
            cpu_.linear(context_, view(x, rows), fast, epilogue, view(got, rows));
            expect_near(got, want);
          }
        }
      }
    }
  }
}

// What else is in a pass, and how many threads share it.
TEST_P(BackendTest, RowsHaveTheSameBitsInAnyPass) {
  constexpr std::int64_t kRows = 130;
  constexpr std::int64_t kIn = 2200;  // more than a kernel takes at once
  for (const auto& [kind, outputs] : std::vector<std::pair<Rows, std::int64_t>>{
           {Rows::kPositions, 77}, {Rows::kTokens, 77}, {Rows::kTokens, 128}}) {
    const auto [plain, fast] = both_linear(kIn, outputs, kind);
    std::vector<float> x = random(kRows * kIn);
    for (const bool is_prefill : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {}", kind == Rows::kTokens ? "tokens" : "positions",
                               is_prefill ? "of prompts" : "of answers"));
      context_.is_prefill = is_prefill;
      std::vector<float> together = filled(kRows * outputs);
      cpu_.linear(context_, view(x, kRows), fast, {}, view(together, kRows));
      for (const std::int64_t rows : {1, 2, 3, 7, 16, 17, 48, 129}) {
        Cpu other = cpu_of(static_cast<int>(rows % 5 + 1));
        std::vector<float> part = filled(rows * outputs);
        other.linear(context_, view(x, kRows).slice_rows(kRows - rows, rows), fast, {},
                     view(part, rows));
        EXPECT_TRUE(std::equal(part.begin(), part.end(), together.end() - rows * outputs))
            << rows << " rows";
      }
    }
  }
}

TEST_P(BackendTest, ImagesHaveTheSameBitsInAnyPass) {
  constexpr std::int64_t kImages = 5;
  constexpr std::int64_t kSide = 6;
  constexpr std::int64_t kChannels = 40;
  constexpr std::int64_t kElements = kSide * kSide * kChannels;
  const DepthwiseSpec filters{.in = kChannels, .kernel = 7};
  const auto mixer = cpu_.pack(filters, host_depthwise(filters));
  const auto fc1 = both_linear(kChannels, 4 * kChannels, Rows::kPositions).second;
  const auto fc2 = both_linear(4 * kChannels, kChannels, Rows::kPositions).second;
  std::vector<float> x = random(kImages * kElements);
  const auto encode = [&](Cpu& cpu, std::int64_t first, std::int64_t images) {
    const FeatureMap<float> in{x.data() + first * kElements, images, kSide, kSide, kChannels};
    std::vector<float> mixed = filled(images * kElements);
    std::vector<float> out = filled(images * kElements);
    const FeatureMap<float> middle{mixed.data(), images, kSide, kSide, kChannels};
    cpu.conv_ffn(context_, in, mixer, fc1, fc2, middle);
    cpu.squeeze_excite(context_, middle, fc1, fc2, {out.data(), images, kSide, kSide, kChannels});
    return out;
  };
  const std::vector<float> together = encode(cpu_, 0, kImages);
  for (std::int64_t images = 1; images < kImages; ++images) {
    Cpu other = cpu_of(static_cast<int>(3 * images));
    const std::vector<float> part = encode(other, kImages - images, images);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), together.end() - images * kElements))
        << images << " images";
  }
}

TEST_P(BackendTest, Depthwise) {
  for (const DepthwiseSpec& spec :
       {DepthwiseSpec{.in = 12, .kernel = 3}, DepthwiseSpec{.in = 33, .kernel = 7},
        DepthwiseSpec{.in = 16, .multiplier = 2, .kernel = 7, .stride = 2},
        DepthwiseSpec{.in = 5, .multiplier = 2, .kernel = 3}}) {
    for (const Activation activation : {Activation::kNone, Activation::kGelu}) {
      const auto [plain, fast] = both(spec, host_depthwise(spec));
      std::vector<float> x = random(2 * 14 * 10 * spec.in);
      std::vector<float> want = filled(2 * 14 * 10 * spec.out() / spec.stride / spec.stride);
      std::vector<float> got = want;
      const std::int64_t s = spec.stride;
      ref_.depthwise(ref_context_, map(x, 2, 14, 10), plain, activation,
                     map(want, 2, 14 / s, 10 / s));
      cpu_.depthwise(context_, map(x, 2, 14, 10), fast, activation, map(got, 2, 14 / s, 10 / s));
      expect_near(got, want);
    }
  }
}

TEST_P(BackendTest, Stem) {
  constexpr std::int64_t kSide = 72;
  constexpr std::int64_t kChannels = 20;
  const StemSpec conv{kChannels};
  const DepthwiseSpec spec{.in = kChannels, .kernel = 3, .stride = 2};
  const auto [plain_conv, fast_conv] =
      both(conv, HostStem{random(27 * kChannels, 0.01F), random(kChannels)});
  const auto [plain, fast] = both(spec, host_depthwise(spec));
  std::vector<std::uint8_t> pixels(2 * kSide * kSide * 3);
  for (auto& p : pixels) p = static_cast<std::uint8_t>(random_());
  std::vector<float> want = filled(2 * kSide * kSide / 16 * kChannels);
  std::vector<float> got = want;
  ref_.stem(ref_context_, {pixels.data(), 2, kSide, kSide, 3}, plain_conv, plain,
            map(want, 2, kSide / 4, kSide / 4));
  cpu_.stem(context_, {pixels.data(), 2, kSide, kSide, 3}, fast_conv, fast,
            map(got, 2, kSide / 4, kSide / 4));
  expect_near(got, want);
}

TEST_P(BackendTest, ConvFfn) {
  for (const auto& [side, width, channels] : std::vector<std::array<std::int64_t, 3>>{
           {5, 9, 12}, {16, 16, 48}, {40, 64, 20}, {1, 300, 16}}) {
    const DepthwiseSpec spec{.in = channels, .kernel = 7};
    const auto [plain_conv, fast_conv] = both(spec, host_depthwise(spec));
    const auto [plain1, fast1] = both_linear(channels, 4 * channels, Rows::kPositions);
    const auto [plain2, fast2] = both_linear(4 * channels, channels, Rows::kPositions);
    std::vector<float> x = random(2 * side * width * channels);
    std::vector<float> want = filled(std::ssize(x));
    std::vector<float> got = want;
    ref_.conv_ffn(ref_context_, map(x, 2, side, width), plain_conv, plain1, plain2,
                  map(want, 2, side, width));
    cpu_.conv_ffn(context_, map(x, 2, side, width), fast_conv, fast1, fast2,
                  map(got, 2, side, width));
    expect_near(got, want);
  }
}

TEST_P(BackendTest, LayerNorm) {
  for (const std::int64_t channels : {1, 12, 96, 131}) {
    const NormSpec spec{.channels = channels, .bias = true};
    const auto [plain, fast] = both(spec, host_norm(spec));
    std::vector<float> x = random(5 * channels, 3);
    std::vector<float> want = filled(std::ssize(x));
    std::vector<float> got = want;
    ref_.layer_norm(ref_context_, view(x, 5), plain, view(want, 5));
    cpu_.layer_norm(context_, view(x, 5), fast, view(got, 5));
    expect_near(got, want);
  }
}

TEST_P(BackendTest, ImageAttention) {
  for (const auto& [tokens, heads, dim] : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 32}, {9, 3, 32}, {64, 2, 16}, {150, 2, 32}}) {
    std::vector<float> qkv = random(2 * tokens * 3 * heads * dim, 2);
    std::vector<float> want = filled(2 * tokens * heads * dim);
    std::vector<float> got = want;
    ref_.image_attention(ref_context_, view(qkv, 2 * tokens), 2, dim, view(want, 2 * tokens));
    cpu_.image_attention(context_, view(qkv, 2 * tokens), 2, dim, view(got, 2 * tokens));
    expect_near(got, want);
  }
}

TEST_P(BackendTest, SqueezeExcite) {
  const auto [plain_reduce, fast_reduce] = both_linear(50, 3, Rows::kPositions);
  const auto [plain_expand, fast_expand] = both_linear(3, 50, Rows::kPositions);
  std::vector<float> x = random(3 * 4 * 5 * 50);
  std::vector<float> want = filled(std::ssize(x));
  std::vector<float> got = want;
  ref_.squeeze_excite(ref_context_, map(x, 3, 4, 5), plain_reduce, plain_expand,
                      map(want, 3, 4, 5));
  cpu_.squeeze_excite(context_, map(x, 3, 4, 5), fast_reduce, fast_expand, map(got, 3, 4, 5));
  expect_near(got, want);
}

// The larger matrices are of a size that may be stored as the GEMM reads them.
TEST_P(BackendTest, Embed) {
  for (const std::int64_t tokens : {9, 64}) {
    const auto [plain, fast] = both_linear(70, tokens, Rows::kTokens, false);
    const std::vector<std::int32_t> ids = {8, 0, 3, 3, static_cast<std::int32_t>(tokens - 1)};
    std::vector<float> want = filled(5 * 70);
    std::vector<float> got = want;
    ref_.embed(ref_context_, ids, plain, view(want, 5));
    cpu_.embed(context_, ids, fast, view(got, 5));
    EXPECT_EQ(got, want);
  }
}

TEST_P(BackendTest, SwigluAndLogits) {
  for (const auto& [rows, width] : std::vector<std::array<std::int64_t, 2>>{
           {1, 75}, {5, 75}, {16, 75}, {17, 75}, {40, 75}, {1, 96}, {17, 160}}) {
    const NormSpec norm{.channels = 100, .eps = 1e-6};
    const auto [plain_norm, fast_norm] = both(norm, host_norm(norm));
    const auto [plain, fast] = both_linear(100, 2 * width, Rows::kTokens, false);
    std::vector<float> x = random(rows * 100, 5);
    std::vector<float> want = filled(rows * width);
    std::vector<float> got = want;
    ref_.swiglu(ref_context_, view(x, rows), plain_norm, plain, view(want, rows));
    for (const bool is_prefill : {false, true}) {
      context_.is_prefill = is_prefill;
      cpu_.swiglu(context_, view(x, rows), fast_norm, fast, view(got, rows));
      expect_near(got, want);
    }
    want = got = filled(rows * 2 * width);
    ref_.logits(ref_context_, view(x, rows), plain_norm, plain, view(want, rows));
    cpu_.logits(context_, view(x, rows), fast_norm, fast, view(got, rows));
    expect_near(got, want);
  }
}

// Prompts and single tokens of sequences of unequal lengths, over scattered pages, in one batch.
TEST_P(BackendTest, AttentionOverThePagedCache) {
  for (const AttentionShape shape : {AttentionShape{4, 2, 16}, AttentionShape{7, 1, 64},
                                     AttentionShape{10, 1, 32}, AttentionShape{2, 2, 128}}) {
    const std::int64_t hidden = shape.heads * shape.head_dim;
    const std::int64_t layers = 2;
    const NormSpec norm{.channels = hidden, .eps = 1e-6};
    const auto [plain_norm, fast_norm] = both(norm, host_norm(norm));
    const auto [plain, fast] =
        both_linear(hidden, hidden + 2 * shape.kv_heads * shape.head_dim, Rows::kTokens);
    const CacheShape size{layers, 9, shape.kv_heads, shape.head_dim};
    auto plain_cache = ref_.make_cache(size, shape);
    auto fast_cache = cpu_.make_cache(size, shape);
    const std::vector<std::int32_t> a = {3, 7, 1};
    const std::vector<std::int32_t> b = {5};
    const std::vector<std::int32_t> c = {0, 8};
    // (rows, position) of the three sequences in each pass.
    for (const auto& pass : std::vector<std::array<std::int64_t, 6>>{
             {130, 0, 1, 0, 63, 0}, {1, 130, 1, 1, 2, 63}, {1, 131, 20, 2, 1, 65}}) {
      DecoderBatch batch;
      batch.is_prefill = pass[1] == 0;
      batch.add(pass[0], pass[1], a);
      batch.add(pass[2], pass[3], b);
      batch.add(pass[4], pass[5], c);
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        std::vector<float> x = random(batch.rows() * hidden);
        std::vector<float> want_query = filled(batch.rows() * hidden);
        std::vector<float> got_query = want_query;
        std::vector<float> want = want_query;
        std::vector<float> got = want_query;
        ref_.attention_input(ref_context_, view(x, batch.rows()), plain_norm, plain, shape, batch,
                             layer, plain_cache, view(want_query, batch.rows()));
        cpu_.attention_input(context_, view(x, batch.rows()), fast_norm, fast, shape, batch, layer,
                             fast_cache, view(got_query, batch.rows()));
        expect_near(got_query, want_query);
        ref_.attention(ref_context_, view(want_query, batch.rows()), shape, batch, layer,
                       plain_cache, view(want, batch.rows()));
        cpu_.attention(context_, view(got_query, batch.rows()), shape, batch, layer, fast_cache,
                       view(got, batch.rows()));
        expect_near(got, want);
      }
    }
    // A copied page holds the same keys and values.
    ref_.copy_page(ref_context_, plain_cache, 5, 6);
    cpu_.copy_page(context_, fast_cache, 5, 6);
    const std::vector<std::int32_t> copy = {6};
    DecoderBatch batch;
    batch.add(1, 21, copy);
    std::vector<float> query = random(hidden);
    std::vector<float> want = filled(hidden);
    std::vector<float> got = want;
    ref_.attention(ref_context_, view(query, 1), shape, batch, 1, plain_cache, view(want, 1));
    cpu_.attention(context_, view(query, 1), shape, batch, 1, fast_cache, view(got, 1));
    expect_near(got, want);
  }
}

class FormatTest : public testing::Test, protected RandomParameters {};

TEST_F(FormatTest, RefRoundsMatricesToEachFloatingPointFormat) {
  const LinearSpec spec{.in = 40, .parts = {{"", 3}}, .rows = Rows::kTokens};
  const HostLinear host = host_linear(spec);
  std::vector<float> exact(40);
  host.row(2, exact);
  const auto row = [&](const WeightFormat& format) {
    const auto all = Ref(format).pack(spec, host).weight;
    return std::vector<float>(all.end() - 40, all.end());
  };
  EXPECT_EQ(row(WeightFormat::kF32), exact);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(row(WeightFormat::kF16)[i], static_cast<float>(Float16(exact[i])));
    EXPECT_EQ(row(WeightFormat::kBF16)[i], static_cast<float>(BFloat16(exact[i])));
  }
}

TEST_F(FormatTest, CpuRefusesWhatItCannotKeep) {
  EXPECT_THROW(Cpu({.formats = WeightFormat::kF16}), Error);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, BackendTest,
    testing::Values(Mode{"f32", WeightFormat::kF32, gemm::Kernel::kFloat, 1e-5},
                    Mode{"bf16_widened", WeightFormat::kBF16, gemm::Kernel::kFloat, 1e-5},
                    Mode{"bf16_pairs", WeightFormat::kBF16, gemm::Kernel::kPairs, 6e-3},
                    Mode{"bf16_tiles", WeightFormat::kBF16, gemm::Kernel::kTiles, 6e-3},
                    Mode{"int8", WeightFormat::int8(), gemm::Kernel::kFloat, 1e-4},
                    Mode{"int8_32_pairs", WeightFormat::int8(32), gemm::Kernel::kPairs, 6e-3},
                    Mode{"int8_128", WeightFormat::int8(128), gemm::Kernel::kFloat, 1e-4},
                    Mode{"int4", WeightFormat::int4(), gemm::Kernel::kFloat, 1e-4},
                    Mode{"int4_32_tiles", WeightFormat::int4(32), gemm::Kernel::kTiles, 6e-3},
                    Mode{"int4_128", WeightFormat::int4(128), gemm::Kernel::kFloat, 1e-4}),
    [](const auto& mode) { return mode.param.name; });

}  // namespace
}  // namespace fvlm
