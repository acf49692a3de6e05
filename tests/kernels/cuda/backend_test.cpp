// Every operation of the CUDA backend against Ref, in float and in bfloat16, on awkward shapes: odd
// counts, one row, channels that are no multiple of a vector, batches of two.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "fvlm/error.hpp"
#include "fvlm/ops/normed_linear.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "kernels/emulator/device.hpp"
#include "kernels/ref/ref.hpp"
#include "tests/kernels/backend_fixture.hpp"
#include "tests/kernels/cuda/modes.hpp"
#include "tests/runtime/engine/pictures_of.hpp"

namespace fvlm {
namespace {

template <class Mode>
class CudaBackendTest : public testing::Test, protected RandomParameters {
 protected:
  static constexpr Target kTarget = Mode::kTarget;
  using E = typename Mode::E;
  static constexpr bool kFloat = std::is_same_v<E, float>;
  static constexpr WeightFormat kFormat = kFloat ? WeightFormat::kF32 : WeightFormat::kBF16;

  void SetUp() override {
    if (device_count<kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
    backend_.emplace(kFormat);
    memory_.emplace(std::size_t{16} << 20);
    context_.emplace(
        ContextSize{.images = 2, .rows = 128, .outputs = 4, .vocabulary = 1, .cache_pages = 9});
    context_->arena() = memory_->arena();
  }
  void TearDown() override {
    if (!context_) return;
    context_->synchronize();
    memory_->expect_untouched_beyond(context_->arena());
  }
  CudaBackend<kTarget, E>& cuda() { return *backend_; }
  CudaContext<kTarget>& context() { return *context_; }

  // The same numbers for both backends, rounded to E.
  struct Data {
    std::vector<float> plain;
    PinnedVector<kTarget, E> fast;
  };
  Data data(std::int64_t count, float scale = 1) {
    Data d{random(count, scale), {}};
    for (float& v : d.plain) {
      d.fast.push_back(static_cast<E>(v));
      v = static_cast<float>(d.fast.back());
    }
    return d;
  }
  // Results: NaNs until they are written.
  Data result(std::int64_t count) {
    return {filled(count), PinnedVector<kTarget, E>(static_cast<std::size_t>(count),
                                                    static_cast<E>(std::nanf("")))};
  }

  void expect_near(const Data& d) {
    context().synchronize();
    EXPECT_LT(relative_error(d.fast, d.plain), kFloat ? 1e-5 : 1e-2);
  }

  template <class Spec, class Host>
  auto both(const Spec& spec, const Host& host) {
    return std::pair(ref_.pack(spec, host), cuda().pack(spec, host));
  }
  auto both_linear(std::int64_t in, std::int64_t out, Rows rows, bool bias = true) {
    const LinearSpec spec{.in = in, .parts = {{"", out}}, .bias = bias, .rows = rows};
    return both(spec, host_linear(spec));
  }

  void expect_conv_ffn(std::int64_t side, std::int64_t width, std::int64_t channels) {
    SCOPED_TRACE(testing::Message() << side << " x " << width << " x " << channels);
    const DepthwiseSpec spec{.in = channels, .kernel = 7};
    const auto [plain_conv, fast_conv] = both(spec, host_depthwise(spec));
    const auto [plain1, fast1] = both_linear(channels, 4 * channels, Rows::kPositions);
    const auto [plain2, fast2] = both_linear(4 * channels, channels, Rows::kPositions);
    Data x = data(2 * side * width * channels);
    Data out = result(2 * side * width * channels);
    ref_.conv_ffn(host_, map(x.plain, 2, side, width), plain_conv, plain1, plain2,
                  map(out.plain, 2, side, width));
    cuda().conv_ffn(context(), map(x.fast, 2, side, width), fast_conv, fast1, fast2,
                    map(out.fast, 2, side, width));
    expect_near(out);
  }

  Ref ref_{kFormat};
  Ref::Context host_{std::size_t{16} << 20};

 private:
  std::optional<CudaBackend<kTarget, E>> backend_;
  std::optional<WatchedMemory<PinnedBuffer<kTarget>>> memory_;
  std::optional<CudaContext<kTarget>> context_;
};

TYPED_TEST_SUITE(CudaBackendTest, CudaModes, CudaModeName);

TYPED_TEST(CudaBackendTest, Linear) {
  for (const Rows kind : {Rows::kPositions, Rows::kTokens}) {
    for (const auto& [rows, in, out] : std::vector<std::array<std::int64_t, 3>>{
             {1, 7, 5}, {3, 48, 12}, {9, 64, 130}, {17, 100, 33}, {70, 33, 40}, {150, 96, 104}}) {
      for (const bool bias : {true, false}) {
        for (const Epilogue epilogue : {Epilogue{}, Epilogue{.activation = Activation::kGelu},
                                        Epilogue{.accumulate = true}}) {
          SCOPED_TRACE(testing::Message() << rows << " x " << in << " x " << out);
          const auto [plain, fast] = this->both_linear(in, out, kind, bias);
          auto x = this->data(rows * in);
          auto y = this->data(rows * out);
          this->ref_.linear(this->host_, view(x.plain, rows), plain, epilogue, view(y.plain, rows));
          this->cuda().linear(this->context(), view(x.fast, rows), fast, epilogue,
                              view(y.fast, rows));
          this->expect_near(y);
        }
      }
    }
  }
}

TYPED_TEST(CudaBackendTest, Depthwise) {
  for (const DepthwiseSpec& spec :
       {DepthwiseSpec{.in = 12, .kernel = 3}, DepthwiseSpec{.in = 33, .kernel = 7},
        DepthwiseSpec{.in = 72, .kernel = 7}, DepthwiseSpec{.in = 12, .kernel = 3, .stride = 2},
        DepthwiseSpec{.in = 16, .multiplier = 2, .kernel = 7, .stride = 2},
        DepthwiseSpec{.in = 37, .multiplier = 2, .kernel = 7, .stride = 2},
        DepthwiseSpec{.in = 5, .multiplier = 2, .kernel = 3}}) {
    for (const Activation activation : {Activation::kNone, Activation::kGelu}) {
      SCOPED_TRACE(testing::Message() << spec.in << ", " << spec.kernel << " / " << spec.stride);
      const auto [plain, fast] = this->both(spec, this->host_depthwise(spec));
      const std::int64_t s = spec.stride;
      auto x = this->data(2 * 20 * 18 * spec.in);
      auto y = this->result(2 * 20 * 18 * spec.out() / s / s);
      this->ref_.depthwise(this->host_, map(x.plain, 2, 20, 18), plain, activation,
                           map(y.plain, 2, 20 / s, 18 / s));
      this->cuda().depthwise(this->context(), map(x.fast, 2, 20, 18), fast, activation,
                             map(y.fast, 2, 20 / s, 18 / s));
      this->expect_near(y);
    }
  }
}

TYPED_TEST(CudaBackendTest, UnknownSizesAreErrors) {
  const DepthwiseSpec spec{.in = 4, .kernel = 5};
  EXPECT_THROW(this->cuda().pack(spec, this->host_depthwise(spec)), Error);
  auto qkv = this->data(2 * 3 * 48);
  auto out = this->result(2 * 48);
  EXPECT_THROW(
      this->cuda().image_attention(this->context(), view(qkv.fast, 2), 1, 48, view(out.fast, 2)),
      Error);
}

TYPED_TEST(CudaBackendTest, Stem) {
  constexpr std::int64_t kSide = 72;
  for (const std::int64_t channels : {20, 100}) {
    const StemSpec conv{channels};
    const DepthwiseSpec spec{.in = channels, .kernel = 3, .stride = 2};
    const auto [plain_conv, fast_conv] =
        this->both(conv, HostStem{this->random(27 * channels, 0.01F), this->random(channels)});
    const auto [plain, fast] = this->both(spec, this->host_depthwise(spec));
    std::vector<std::uint8_t> pixels(2 * kSide * kSide * 3);
    for (auto& p : pixels) p = static_cast<std::uint8_t>(this->random_());
    auto y = this->result(2 * kSide * kSide / 16 * channels);
    const FeatureMap<const std::uint8_t> images{pixels.data(), 2, kSide, kSide, 3};
    this->ref_.stem(this->host_, images, plain_conv, plain, map(y.plain, 2, kSide / 4, kSide / 4));
    this->cuda().stem(this->context(),
                      this->cuda().upload(this->context(), pictures_of(pixels, 2), kSide),
                      fast_conv, fast, map(y.fast, 2, kSide / 4, kSide / 4));
    this->expect_near(y);
  }
}

TYPED_TEST(CudaBackendTest, ConvFfn) {
  this->expect_conv_ffn(5, 9, 12);    // two products, unaligned
  this->expect_conv_ffn(5, 9, 16);    // one kernel
  this->expect_conv_ffn(1, 150, 24);  // more rows than a block's
  this->expect_conv_ffn(9, 7, 104);   // one kernel on a large device, two products on a small one
  this->expect_conv_ffn(3, 5, 200);
}

// What only devices with much shared memory can run: one kernel, or two by wgmma.
TYPED_TEST(CudaBackendTest, ConvFfnOfLargeDevices) {
  for (const emulator::Device& large : {emulator::kAmpereDevice, emulator::kLargeDevice}) {
    const emulator::OnDevice device(large);
    this->SetUp();  // the backend reads what the device has
    this->expect_conv_ffn(9, 7, 104);
    this->expect_conv_ffn(1, 150, 192);
    this->expect_conv_ffn(1, 20, 520);  // by wgmma the second one's depth is in parts
  }
}

TYPED_TEST(CudaBackendTest, LayerNorm) {
  for (const std::int64_t channels : {1, 12, 96, 131, 520}) {
    const NormSpec spec{.channels = channels, .bias = true};
    const auto [plain, fast] = this->both(spec, this->host_norm(spec));
    auto x = this->data(11 * channels, 3);
    auto y = this->result(11 * channels);
    this->ref_.layer_norm(this->host_, view(x.plain, 11), plain, view(y.plain, 11));
    this->cuda().layer_norm(this->context(), view(x.fast, 11), fast, view(y.fast, 11));
    this->expect_near(y);
  }
}

// One kernel on a large device, whose norm is folded into the matrix; two on a small one.
TYPED_TEST(CudaBackendTest, NormedLinear) {
  constexpr std::int64_t kRows = 150;
  constexpr std::int64_t kIn = 96;
  constexpr std::int64_t kOut = 70;
  for (const emulator::Device& device : {emulator::kSmallDevice, emulator::kLargeDevice}) {
    const emulator::OnDevice on(device);
    this->SetUp();
    const NormSpec spec{.channels = kIn, .bias = true};
    auto [plain_norm, norm] = this->both(spec, this->host_norm(spec));
    auto [plain, linear] = this->both_linear(kIn, kOut, Rows::kPositions);
    auto x = this->data(kRows * kIn, 3);
    auto normed = this->result(kRows * kIn);
    auto y = this->result(kRows * kOut);
    normed_linear(this->ref_, this->host_, view(x.plain, kRows), plain_norm, plain,
                  view(normed.plain, kRows), view(y.plain, kRows));
    this->cuda().fold(norm, linear);
    normed_linear(this->cuda(), this->context(), view(x.fast, kRows), norm, linear,
                  view(normed.fast, kRows), view(y.fast, kRows));
    this->expect_near(y);
    if (TestFixture::kTarget == Target::kDevice) continue;
    EXPECT_EQ(norm.norm.folded, device.major == 9 && sizeof(typename TypeParam::E) == 2);
    EXPECT_EQ(this->cuda().normed_linear(this->context(), view(x.fast, kRows), norm, linear,
                                         view(y.fast, kRows)),
              norm.norm.folded);
  }
}

TYPED_TEST(CudaBackendTest, ImageAttention) {
  for (const auto& [tokens, heads, dim] : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 32}, {9, 3, 32}, {64, 2, 16}, {150, 2, 32}, {70, 1, 64}}) {
    SCOPED_TRACE(testing::Message() << tokens << " tokens, " << heads << " x " << dim);
    auto qkv = this->data(2 * tokens * 3 * heads * dim, 2);
    auto y = this->result(2 * tokens * heads * dim);
    this->ref_.image_attention(this->host_, view(qkv.plain, 2 * tokens), 2, dim,
                               view(y.plain, 2 * tokens));
    this->cuda().image_attention(this->context(), view(qkv.fast, 2 * tokens), 2, dim,
                                 view(y.fast, 2 * tokens));
    this->expect_near(y);
  }
}

// Vectors that can be read 16 bytes at a time and others, an odd number of channels.
TYPED_TEST(CudaBackendTest, SqueezeExcite) {
  for (const auto [channels, squeezed] :
       std::vector<std::array<std::int64_t, 2>>{{50, 3}, {136, 8}, {33, 5}, {264, 16}}) {
    SCOPED_TRACE(testing::Message() << channels << " channels");
    const auto [plain_reduce, fast_reduce] =
        this->both_linear(channels, squeezed, Rows::kPositions);
    const auto [plain_expand, fast_expand] =
        this->both_linear(squeezed, channels, Rows::kPositions);
    auto x = this->data(3 * 9 * 5 * channels);
    auto y = this->result(3 * 9 * 5 * channels);
    this->ref_.squeeze_excite(this->host_, map(x.plain, 3, 9, 5), plain_reduce, plain_expand,
                              map(y.plain, 3, 9, 5));
    this->cuda().squeeze_excite(this->context(), map(x.fast, 3, 9, 5), fast_reduce, fast_expand,
                                map(y.fast, 3, 9, 5));
    this->expect_near(y);
  }
}

TYPED_TEST(CudaBackendTest, Embed) {
  const auto [plain, fast] = this->both_linear(70, 9, Rows::kTokens, false);
  const std::vector<std::int32_t> ids = {8, 0, 3, 3};
  auto y = this->result(4 * 70);
  this->ref_.embed(this->host_, ids, plain, view(y.plain, 4));
  this->cuda().embed(this->context(), ids, fast, view(y.fast, 4));
  this->context().synchronize();
  for (std::size_t i = 0; i < y.plain.size(); ++i)
    EXPECT_EQ(static_cast<float>(y.fast[i]), y.plain[i]);
}

TYPED_TEST(CudaBackendTest, SwigluAndLogits) {
  for (const std::int64_t rows : {1, 5, 17}) {
    const NormSpec norm{.channels = 96, .eps = 1e-6};
    const auto [plain_norm, fast_norm] = this->both(norm, this->host_norm(norm));
    const auto [plain, fast] = this->both_linear(96, 2 * 76, Rows::kTokens, false);
    auto x = this->data(rows * 96, 5);
    auto y = this->result(rows * 76);
    this->ref_.swiglu(this->host_, view(x.plain, rows), plain_norm, plain, view(y.plain, rows));
    this->cuda().swiglu(this->context(), view(x.fast, rows), fast_norm, fast, view(y.fast, rows));
    this->expect_near(y);
    std::vector<float> want = filled(rows * 152);
    PinnedVector<TestFixture::kTarget, float> got(want.size(), std::nanf(""));
    this->ref_.logits(this->host_, view(x.plain, rows), plain_norm, plain, view(want, rows));
    this->cuda().logits(this->context(), view(x.fast, rows), fast_norm, fast, view(got, rows));
    this->context().synchronize();
    EXPECT_LT(relative_error(got, want), this->kFloat ? 1e-5 : 1e-2);
  }
}

// Prompts and single tokens of sequences of unequal lengths, over scattered pages, in one batch.
TYPED_TEST(CudaBackendTest, AttentionOverThePagedCache) {
  for (const AttentionShape shape :
       {AttentionShape{4, 2, 16}, AttentionShape{7, 1, 64}, AttentionShape{2, 2, 128}}) {
    SCOPED_TRACE(testing::Message() << shape.heads << " heads of " << shape.head_dim);
    const std::int64_t hidden = shape.heads * shape.head_dim;
    const NormSpec norm{.channels = hidden, .eps = 1e-6};
    const auto [plain_norm, fast_norm] = this->both(norm, this->host_norm(norm));
    const auto [plain, fast] =
        this->both_linear(hidden, hidden + 2 * shape.kv_heads * shape.head_dim, Rows::kTokens);
    const CacheShape size{2, 9, shape.kv_heads, shape.head_dim};
    auto plain_cache = this->ref_.make_cache(size, shape);
    auto fast_cache = this->cuda().make_cache(size, shape);
    const std::vector<std::int32_t> a = {3, 7};
    const std::vector<std::int32_t> b = {5};
    const std::vector<std::int32_t> c = {0, 8};
    // (rows, position) of the three sequences in each pass.
    for (const auto& pass :
         std::vector<std::array<std::int64_t, 6>>{{70, 0, 1, 0, 33, 0}, {1, 70, 1, 1, 32, 33}}) {
      DecoderBatch batch;
      batch.add(pass[0], pass[1], a);
      batch.add(pass[2], pass[3], b);
      batch.add(pass[4], pass[5], c);
      const std::int64_t rows = batch.rows();
      for (std::int64_t layer = 0; layer < size.layers; ++layer) {
        auto x = this->data(rows * hidden);
        auto query = this->result(rows * hidden);
        auto out = this->result(rows * hidden);
        this->ref_.attention_input(this->host_, view(x.plain, rows), plain_norm, plain, shape,
                                   batch, layer, plain_cache, view(query.plain, rows));
        this->cuda().attention_input(this->context(), view(x.fast, rows), fast_norm, fast, shape,
                                     batch, layer, fast_cache, view(query.fast, rows));
        this->expect_near(query);
        this->ref_.attention(this->host_, view(query.plain, rows), shape, batch, layer, plain_cache,
                             view(out.plain, rows));
        this->cuda().attention(this->context(), view(query.fast, rows), shape, batch, layer,
                               fast_cache, view(out.fast, rows));
        this->expect_near(out);
      }
    }
    // A copied page holds the same keys and values.
    this->ref_.copy_page(this->host_, plain_cache, 5, 6);
    this->cuda().copy_page(this->context(), fast_cache, 5, 6);
    const std::vector<std::int32_t> copy = {6};
    DecoderBatch batch;
    batch.add(1, 1, copy);
    auto query = this->data(hidden);
    auto out = this->result(hidden);
    this->ref_.attention(this->host_, view(query.plain, 1), shape, batch, 1, plain_cache,
                         view(out.plain, 1));
    this->cuda().attention(this->context(), view(query.fast, 1), shape, batch, 1, fast_cache,
                           view(out.fast, 1));
    this->expect_near(out);
  }
}

TYPED_TEST(CudaBackendTest, UnsupportedHeadsAreAnError) {
  const AttentionShape shape{2, 1, 264};
  const auto cache = this->cuda().make_cache({1, 1, shape.kv_heads, shape.head_dim}, shape);
  DecoderBatch batch;
  const std::vector<std::int32_t> pages = {0};
  batch.add(1, 0, pages);
  auto query = this->data(shape.heads * shape.head_dim);
  auto out = this->result(shape.heads * shape.head_dim);
  EXPECT_THROW(this->cuda().attention(this->context(), view(query.fast, 1), shape, batch, 0, cache,
                                      view(out.fast, 1)),
               Error);
}

}  // namespace
}  // namespace fvlm
