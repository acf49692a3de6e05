// Forward passes of a small random model on the CUDA backend against Ref, each several times with
// other content in the same places: the first runs directly, a CUDA graph captures the second, the
// others replay the graph.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "kernels/ref/ref.hpp"
#include "tests/kernels/backend_fixture.hpp"
#include "tests/kernels/cuda/modes.hpp"
#include "tests/runtime/engine/pictures_of.hpp"

namespace fvlm {
namespace {

// Gives a model random weights, the same ones for every backend.
template <class B>
class RandomLoader : public Visitor<RandomLoader<B>>, private RandomParameters {
 public:
  explicit RandomLoader(B& backend) : backend_(backend) {}

  template <class P>
  void leaf(const std::string&, P& parameter) {
    parameter.weights = backend_.pack(parameter.spec, host(parameter.spec));
  }

 private:
  HostLinear host(const LinearSpec& spec) { return host_linear(spec); }
  HostDepthwise host(const DepthwiseSpec& spec) { return host_depthwise(spec); }
  HostNorm host(const NormSpec& spec) { return host_norm(spec); }
  HostStem host(const StemSpec& spec) { return {random(27 * spec.out, 0.01F), random(spec.out)}; }

  B& backend_;
};

FastVlmConfig small_config() {
  FastVlmConfig config;
  config.vision.image_size = 128;
  config.vision.layers = {1, 1, 1, 1, 1};
  config.vision.embed_dims = {8, 16, 32, 64, 128};
  config.text = {.hidden_size = 64,
                 .layers = 2,
                 .heads = 4,
                 .kv_heads = 2,
                 .intermediate_size = 96,
                 .vocab_size = 50,
                 .tie_word_embeddings = true,
                 .eos_tokens = {}};
  return config;
}

constexpr std::int64_t kHidden = 64;
constexpr std::int64_t kCachePages = 12;

// A model in one backend.
template <class B>
struct Side {
  using E = typename B::Element;

  explicit Side(const FormatChoice& formats) : backend(formats), model(small_config()) {
    RandomLoader<B> loader(backend);
    model.visit(loader);
    cache.emplace(model.decoder.make_cache(backend, kCachePages));
  }

  std::vector<float> encode(const std::vector<std::uint8_t>& pixels, std::int64_t images) {
    const Arena::Scope scope(context.arena());
    const auto out = context.arena().template matrix<E>(images * 4, kHidden);
    const auto pictures = pictures_of(pixels, images);  // a backend on the host reads them there
    const auto there = backend.upload(context, pictures, 128);
    model.embed_images(backend, context, there, out);
    return copy(backend.download(context, out));
  }
  // The rows after all layers, of the tokens' embeddings.
  std::vector<float> decode(const std::vector<std::int32_t>& ids, const DecoderBatch& batch) {
    const Arena::Scope scope(context.arena());
    const auto x = context.arena().template matrix<E>(batch.rows(), kHidden);
    model.decoder.embed(backend, context, ids, x);
    model.decoder.forward(backend, context, batch, *cache, x);
    return copy(backend.download(context, x));
  }

  static std::vector<float> copy(View<float> rows) {
    return {rows.data, rows.data + rows.rows * rows.cols};
  }

  B backend;
  FastVlm<B> model;
  typename B::Context context = backend.make_context({.scratch_bytes = std::size_t{64} << 20,
                                                      .images = 2,
                                                      .rows = 64,
                                                      .outputs = 4,
                                                      .vocabulary = 50,
                                                      .cache_pages = kCachePages});
  std::optional<typename B::Cache> cache;
};

template <class Mode>
class CudaPass : public testing::Test {
 protected:
  using E = typename Mode::E;
  using Cuda = CudaBackend<Mode::kTarget, E>;
  static constexpr double kTolerance = sizeof(E) == 4 ? 1e-4 : 4e-2;

  void SetUp() override {
    if (device_count<Mode::kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
    const WeightFormat format = sizeof(E) == 4 ? WeightFormat::kF32 : WeightFormat::kBF16;
    plain_.emplace(format);
    cuda_.emplace(format);
  }

  std::vector<std::int32_t> ids(std::int64_t count) {
    std::vector<std::int32_t> all(static_cast<std::size_t>(count));
    for (auto& id : all) id = static_cast<std::int32_t>(random_() % 50);
    return all;
  }
  void expect_decode(const DecoderBatch& batch) {
    const auto tokens = ids(batch.rows());
    EXPECT_LT(relative_error(cuda_->decode(tokens, batch), plain_->decode(tokens, batch)),
              kTolerance);
  }

  std::mt19937 random_{3};
  std::optional<Side<Ref>> plain_;
  std::optional<Side<Cuda>> cuda_;
};
TYPED_TEST_SUITE(CudaPass, CudaModes, CudaModeName);

TYPED_TEST(CudaPass, EncoderForEachNumberOfImages) {
  for (int run = 0; run < 3; ++run) {
    for (const std::int64_t images : {1, 2}) {
      std::vector<std::uint8_t> pixels(static_cast<std::size_t>(images * 128 * 128 * 3));
      for (auto& p : pixels) p = static_cast<std::uint8_t>(this->random_());
      EXPECT_LT(
          relative_error(this->cuda_->encode(pixels, images), this->plain_->encode(pixels, images)),
          this->kTolerance);
    }
  }
  EXPECT_EQ(this->cuda_->context.graph_launches(), 4);
}

// A prompt of another content and place each time, and steps of two sequences that grow, over a
// page's end and over the 256 tokens that a part of decode attention takes.
TYPED_TEST(CudaPass, DecoderOverOtherPagesAndPositions) {
  const std::vector<std::int32_t> one = {3, 7, 1, 0, 9};
  const std::vector<std::int32_t> two = {5, 2, 4, 8, 6};
  const auto prompt = [&](const std::vector<std::int32_t>& pages, std::int64_t position) {
    DecoderBatch batch;
    batch.add(41, position, pages);
    this->expect_decode(batch);
  };
  for (std::int64_t at = 0; at < 246; at += 41) prompt(one, at);
  for (std::int64_t at = 0; at < 123; at += 41) prompt(two, at);
  const std::int64_t before = this->cuda_->context.graph_launches();
  EXPECT_EQ(before, 8);
  for (std::int64_t step = 0; step < 12; ++step) {
    DecoderBatch batch;
    batch.add(1, 246 + step, one);
    batch.add(1, 123 + step, two);
    this->expect_decode(batch);
  }
  // Twelve steps, of which the first of up to 256 tokens and the first of more were not recorded.
  EXPECT_EQ(this->cuda_->context.graph_launches(), before + 10);
}

// Rows of sequences of unequal lengths in one pass, as when drafts are checked.
TYPED_TEST(CudaPass, SeveralTokensOfSeveralSequences) {
  const std::vector<std::int32_t> one = {3, 7};
  const std::vector<std::int32_t> two = {5, 2};
  for (std::int64_t pass = 0; pass < 4; ++pass) {
    DecoderBatch batch;
    batch.add(5, 5 * pass, one);
    batch.add(1, pass, two);
    this->expect_decode(batch);
  }
  EXPECT_EQ(this->cuda_->context.graph_launches(), 3);
}

// New memory makes records void.
TYPED_TEST(CudaPass, AfterANewCacheNothingOldIsRun) {
  const std::vector<std::int32_t> pages = {3, 7};
  const auto passes = [&] {
    for (std::int64_t position = 0; position < 3; ++position) {
      DecoderBatch batch;
      batch.add(1, position, pages);
      this->expect_decode(batch);
    }
  };
  passes();
  auto& side = *this->cuda_;
  side.cache.emplace(side.model.decoder.make_cache(side.backend, kCachePages + 8));
  passes();
  EXPECT_EQ(side.context.graph_launches(), 4);
}

}  // namespace
}  // namespace fvlm
