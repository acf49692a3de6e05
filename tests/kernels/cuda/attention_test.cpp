// RoPE, the paged KV cache and attention over it against Ref: prefill and decode steps of sequences
// of unequal lengths over scattered pages. Unwritten memory of the cache is NaN, so that reading it
// shows.
#include <algorithm>

#include "kernels/cuda/attention/attention.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/host/decoder_batch.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"
#include "kernels/support/rotation_table.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"

namespace fvlm {
namespace {

constexpr std::int64_t kLayers = 2;
constexpr std::int64_t kPages = 24;

template <class Mode>
class CudaAttention : public CudaDecoderTest<Mode> {
 protected:
  using Base = CudaDecoderTest<Mode>;
  using typename Base::E;
  using Attention = AttentionKernels<Base::kTarget, E>;

  // Caches of both, and what kernels have to know of the model.
  struct Model {
    AttentionShape shape;
    Ref::Cache plain;
    DeviceAttention device;
    E* cache;
    std::byte* scratch;

    std::int64_t width() const { return shape.heads * shape.head_dim; }
    CacheLayer<E> layer(std::int64_t n) const {
      return {cache + n * 2 * kPages * plain.shape.page_elements(), device.kv_heads,
              device.head_dim};
    }
  };

  static constexpr std::int64_t kSingles = 44;
  static constexpr std::int64_t kTokens = 1200;

  Model model(const AttentionShape& shape) {
    const CacheShape size{kLayers, kPages, shape.kv_heads, shape.head_dim};
    Model m{shape, this->ref_.make_cache(size, shape), {}, nullptr, nullptr};
    std::fill(m.plain.keys.begin(), m.plain.keys.end(), std::nanf(""));
    std::fill(m.plain.values.begin(), m.plain.values.end(), std::nanf(""));
    m.device = {
        .heads = static_cast<int>(shape.heads),
        .kv_heads = static_cast<int>(shape.kv_heads),
        .head_dim = static_cast<int>(shape.head_dim),
        .rotations = this->upload(rotation_table(kTokens, shape.head_dim, shape.rope_theta))};
    m.cache = this->upload(
        std::vector<E>(static_cast<std::size_t>(size.elements()), static_cast<E>(std::nanf(""))));
    m.scratch = this->upload(std::vector<std::byte>(
        static_cast<std::size_t>(Attention::scratch_bytes(m.device, kSingles, kTokens))));
    return m;
  }

  // Random keys and values of the first `tokens` tokens of a sequence, in layer 0 of both caches.
  void fill(Model& m, std::span<const std::int32_t> pages, std::int64_t tokens) {
    const std::int64_t dim = m.shape.head_dim;
    auto device = this->download(m.cache, m.plain.shape.elements());
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t h = 0; h < m.shape.kv_heads; ++h) {
        const std::int64_t page = pages[static_cast<std::size_t>(t / kPageTokens)];
        for (const bool value : {false, true}) {
          const auto numbers = this->activations(dim);
          const auto at = m.plain.at(0, page, h, t % kPageTokens);
          std::copy(
              numbers.begin(), numbers.end(),
              (value ? m.plain.values : m.plain.keys).begin() + static_cast<std::ptrdiff_t>(at));
          const std::int64_t to =
              (((page * m.shape.kv_heads + h) * 2 + (value ? 1 : 0)) * kPageTokens +
               t % kPageTokens) *
              dim;
          for (std::int64_t d = 0; d < dim; ++d) {
            device[static_cast<std::size_t>(to + d)] =
                static_cast<E>(numbers[static_cast<std::size_t>(d)]);
          }
        }
      }
    }
    m.cache = this->upload(device);
  }

  DeviceBatch place(const DecoderBatch& batch) {
    const BatchLayout layout(batch, kSingles);
    return layout.at(this->upload(layout.words()));
  }

  std::vector<float> attend(const Model& m, std::int64_t layer, const DecoderBatch& batch,
                            const std::vector<float>& query) {
    const auto out = this->rows(this->nothing(std::ssize(query)), batch.rows(), 8);
    Attention::attention(*this->stream_, this->rows(query, batch.rows(), 16), m.device,
                         place(batch), m.layer(layer), m.scratch, out);
    return this->content(out);
  }
  void expect_attention(const Model& m, std::int64_t layer, const DecoderBatch& batch) {
    auto query = this->activations(batch.rows() * m.width());
    auto want = this->nothing(std::ssize(query));
    this->ref_.attention(this->host_, rows_of(query, batch.rows()), m.shape, batch, layer, m.plain,
                         rows_of(want, batch.rows()));
    this->expect_near(attend(m, layer, batch, query), want);
  }

  std::vector<AttentionShape> shapes_{{14, 2, 64}, {12, 2, 128}, {7, 1, 64},
                                      {4, 2, 16},  {10, 1, 32},  {36, 2, 16}};
};
TYPED_TEST_SUITE(CudaAttention, CudaModes, CudaModeName);

TYPED_TEST(CudaAttention, InputIsRotatedAndWrittenToItsPage) {
  using Element = typename TypeParam::E;
  const auto expect_input = [&](const AttentionShape& shape, const WeightFormat& format,
                                const DeviceShape& device, TokenPass pass) {
    auto m = this->model(shape);
    const std::int64_t hidden = 40;
    const auto norm = this->norm(hidden);
    const auto qkv =
        this->matrix(hidden, m.width() + 2 * shape.kv_heads * shape.head_dim, format, true);
    const std::vector<std::int32_t> a = {3, 7, 1, 9, 2, 0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    const std::vector<std::int32_t> b = {5, 23};
    // Few rows and many.
    for (const std::int64_t more : {1, 11}) {
      DecoderBatch batch;
      batch.add(2, 1000, a);
      batch.add(more, 62, b);
      auto x = this->activations(batch.rows() * hidden);
      auto want = this->nothing(batch.rows() * m.width());
      const auto query = this->rows(want, batch.rows());
      this->ref_.attention_input(this->host_, rows_of(x, batch.rows()), norm.plain, qkv.plain,
                                 shape, batch, 1, m.plain, rows_of(want, batch.rows()));
      TokenKernels<TestFixture::kTarget, Element>::attention_input(
          *this->stream_, device, pass, this->rows(x, batch.rows()), norm.device, qkv.device,
          m.device, this->place(batch), m.layer(1),
          this->scratch_of(batch.rows(), qkv,
                           this->rows(this->nothing(batch.rows() * hidden), batch.rows())),
          query);
      this->expect_near(this->content(query), want);
    }
    // The caches agree, and nothing else was written.
    const auto cache = this->download(m.cache, m.plain.shape.elements());
    std::vector<float> got;
    std::vector<float> want;
    for (std::int64_t i = 0; i < m.plain.shape.elements(); ++i) {
      const std::int64_t dim = shape.head_dim;
      const std::int64_t token = i / dim % kPageTokens;
      const std::int64_t value = i / (dim * kPageTokens) % 2;
      const std::int64_t head = i / (dim * kPageTokens * 2) % shape.kv_heads;
      const std::int64_t page = i / (dim * kPageTokens * 2 * shape.kv_heads) % kPages;
      const std::int64_t layer = i / (dim * kPageTokens * 2 * shape.kv_heads * kPages);
      const auto at = m.plain.at(layer, page, head, token) + static_cast<std::size_t>(i % dim);
      const float expected = (value == 1 ? m.plain.values : m.plain.keys)[at];
      const auto found = static_cast<float>(cache[static_cast<std::size_t>(i)]);
      ASSERT_EQ(std::isnan(expected), std::isnan(found)) << i;
      if (std::isnan(expected)) continue;
      want.push_back(expected);
      got.push_back(found);
    }
    this->expect_near(got, want);
  };
  for (const AttentionShape& shape : this->shapes_) {
    for (const WeightFormat& format : {WeightFormat::kBF16, WeightFormat::int8()}) {
      SCOPED_TRACE(testing::Message()
                   << shape.heads << " heads of " << shape.head_dim << ", " << name_of(format));
      this->each_product([&](const DeviceShape& device, TokenPass pass) {
        expect_input(shape, format, device, pass);
      });
    }
  }
}

// A sine's argument is up to 32768 and more: a float32 has no digits left there.
TYPED_TEST(CudaAttention, RotationsOfFarPositionsAreExact) {
  const auto table = rotation_table(32769, 4, 1e6);
  const double angle = 32768 * std::pow(1e6, -0.5);
  EXPECT_FLOAT_EQ(table[32768 * 4 + 0], static_cast<float>(std::cos(32768.0)));
  EXPECT_FLOAT_EQ(table[32768 * 4 + 1], static_cast<float>(std::cos(angle)));
  EXPECT_FLOAT_EQ(table[32768 * 4 + 2], static_cast<float>(std::sin(32768.0)));
  EXPECT_FLOAT_EQ(table[32768 * 4 + 3], static_cast<float>(std::sin(angle)));
}

TYPED_TEST(CudaAttention, MixedBatchesOverThePagedCache) {
  const std::vector<std::int32_t> a = {3, 7, 1, 9, 2, 0, 11, 12, 13, 14, 15, 16};
  const std::vector<std::int32_t> b = {5, 23, 4};
  const std::vector<std::int32_t> c = {10, 8};
  for (const auto& shape : this->shapes_) {
    SCOPED_TRACE(testing::Message()
                 << shape.heads << '/' << shape.kv_heads << '/' << shape.head_dim);
    auto m = this->model(shape);
    this->fill(m, a, 705);
    this->fill(m, b, 135);
    this->fill(m, c, 65);
    DecoderBatch singles;  // of many pages, one token, one page and a bit
    singles.add(1, 704, a);
    singles.add(1, 0, b);
    singles.add(1, 64, c);
    DecoderBatch mixed;
    mixed.add(3, 62, c);
    mixed.add(1, 511, a);
    mixed.add(40, 95, b);
    DecoderBatch prompt;
    prompt.add(33, 0, b);
    prompt.add(2, 254, a);
    for (DecoderBatch* batch : {&singles, &mixed, &prompt}) {
      for (const bool is_prefill : {false, true}) {
        batch->is_prefill = is_prefill;
        this->expect_attention(m, 0, *batch);
      }
    }
  }
}

TYPED_TEST(CudaAttention, BatchingChangesNoBit) {
  const std::vector<std::int32_t> a = {3, 7, 1, 9, 2, 0, 11, 12, 13, 14, 15, 16};
  const std::vector<std::int32_t> b = {5, 23};
  auto m = this->model({14, 2, 64});
  this->fill(m, a, 600);
  this->fill(m, b, 70);
  DecoderBatch one;
  one.add(1, 69, b);
  DecoderBatch two;
  two.add(1, 599, a);
  two.add(1, 69, b);
  const auto query = this->activations(2 * m.width());
  const auto together = this->attend(m, 0, two, query);
  const std::vector<float> second(query.begin() + m.width(), query.end());
  const auto alone = this->attend(m, 0, one, second);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + m.width()));

  DecoderBatch draft;  // the same row behind one that is verified with it
  draft.add(2, 68, b);
  const auto verified = this->attend(m, 0, draft, query);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), verified.begin() + m.width()));
}

// A recorded graph attends to what its memory says when it is launched; rows may be missing.
TYPED_TEST(CudaAttention, RecordedOnceForAnyPositions) {
  const std::vector<std::int32_t> a = {3, 7, 1, 9, 2, 0};
  const std::vector<std::int32_t> b = {5, 23, 6, 4, 8, 10};
  auto m = this->model({7, 1, 64});
  this->fill(m, a, 370);
  this->fill(m, b, 300);
  const auto batch_of = [&](std::int64_t first, std::int64_t second) {
    DecoderBatch batch;
    batch.add(1, first, a);
    batch.add(1, second, b);
    return batch;
  };
  const BatchLayout layout(batch_of(0, 0), this->kSingles);
  std::int32_t* const words = this->upload(layout.words());
  DeviceBatch device = layout.at(words);
  device.most_tokens = this->kTokens;
  auto query = this->activations(2 * m.width());
  const auto from = this->rows(query, 2);
  const auto out = this->rows(this->nothing(2 * m.width()), 2);
  auto& stream = *this->stream_;
  const auto graph = Graph<TestFixture::kTarget>::capture(stream, [&] {
    TestFixture::Attention::attention(stream, from, m.device, device, m.layer(0), m.scratch, out);
  });
  for (const auto& [first, second] : {std::pair(369, 2), std::pair(70, 299)}) {
    const auto batch = batch_of(first, second);
    const auto changed = BatchLayout(batch, this->kSingles).words();
    stream.copy_to_device(words, changed.data(), changed.size() * sizeof(std::int32_t));
    graph.launch(stream);
    auto want = this->nothing(2 * m.width());
    this->ref_.attention(this->host_, rows_of(query, 2), m.shape, batch, 0, m.plain,
                         rows_of(want, 2));
    this->expect_near(this->content(out), want);
  }
  const auto before = this->content(out);
  auto missing = BatchLayout(batch_of(5, 299), this->kSingles).words();
  missing[0] = -1;
  stream.copy_to_device(words, missing.data(), missing.size() * sizeof(std::int32_t));
  graph.launch(stream);
  EXPECT_EQ(this->content(out), before);
}

TYPED_TEST(CudaAttention, CopiedPages) {
  auto m = this->model({4, 2, 16});
  const std::vector<std::int32_t> a = {3};
  this->fill(m, a, 64);
  const std::int64_t elements = 2 * m.plain.shape.page_elements();
  const auto bytes = elements * static_cast<std::int64_t>(sizeof(typename TypeParam::E));
  auto* const page = reinterpret_cast<std::byte*>(m.cache);
  EmbedKernels<TestFixture::kTarget, typename TestFixture::E>::copy_page(
      *this->stream_, page + 3 * bytes, page + 6 * bytes, bytes, kLayers, kPages * bytes);
  this->ref_.copy_page(this->host_, m.plain, 3, 6);
  const std::vector<std::int32_t> copy = {6};
  DecoderBatch batch;
  batch.add(1, 63, copy);
  this->expect_attention(m, 0, batch);
}

}  // namespace
}  // namespace fvlm
