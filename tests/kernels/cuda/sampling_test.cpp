// Sampling on the device gives the host's tokens: the same seed, the same draws.
#include <cmath>
#include <limits>

#include "kernels/cuda/sampling/sampling.hpp"
#include "runtime/engine/sampler.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"

namespace fvlm {
namespace {

template <class Mode>
class CudaSampling : public CudaDecoderTest<Mode> {
 protected:
  using Kernels = SamplingKernels<CudaDecoderTest<Mode>::kTarget>;

  using Tokens = std::vector<std::int32_t>;
  using Mask = std::vector<std::uint32_t>;

  // One token for each row, and the host's, for some seeds. Each row has a history of its own and
  // may have a mask.
  void expect_same(const std::vector<std::vector<float>>& logits, const Sampling& sampling,
                   const std::vector<Tokens>& histories, std::vector<Mask> masks = {}) {
    const auto rows = std::ssize(logits);
    const auto vocab = std::ssize(logits[0]);
    masks.resize(logits.size());
    std::vector<float> all;
    for (const auto& row : logits) all.insert(all.end(), row.begin(), row.end());
    std::byte* const scratch = this->upload(
        std::vector<std::byte>(static_cast<std::size_t>(Kernels::scratch_bytes(rows, vocab))));
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      std::vector<SamplingRow> how;
      std::vector<RowAdjustment> adjustments;
      Mask all_masks;
      std::int32_t next_mask = 0;
      Tokens want;
      for (std::size_t r = 0; r < logits.size(); ++r) {
        Sampler sampler(sampling, seed + r);
        for (const std::int32_t token : histories[r]) sampler.append(token);
        const auto params = sampler.params();
        how.push_back({.temperature = params[0].temperature,
                       .top_p = params[0].top_p,
                       .min_p = params[0].min_p,
                       .draw = params[0].draw,
                       .top_k = static_cast<std::int32_t>(params[0].top_k),
                       .mask = masks[r].empty() ? -1 : next_mask++});
        for (const LogitAdjustment& by : params[0].adjustments) {
          adjustments.push_back({static_cast<std::int64_t>(r), by});
        }
        all_masks.insert(all_masks.end(), masks[r].begin(), masks[r].end());
        auto changed = logits[r];
        want.push_back(sampler.sample(changed, masks[r]));
      }
      const View<float> on_device{this->upload(all), rows, vocab, vocab};
      if (!adjustments.empty()) {
        Kernels::adjust(*this->stream_, on_device, this->upload(adjustments),
                        std::ssize(adjustments));
      }
      std::int32_t* const tokens = this->upload(Tokens(logits.size(), -1));
      Kernels::sample(*this->stream_,
                      {on_device, this->upload(how),
                       all_masks.empty() ? nullptr : this->upload(all_masks), tokens},
                      scratch);
      EXPECT_EQ(this->download(tokens, rows), want) << "seed " << seed;
    }
  }

  // Only these tokens.
  static Mask mask_of(std::int64_t vocab, const Tokens& allowed) {
    Mask mask(static_cast<std::size_t>(token_mask_words(vocab)));
    for (const std::int32_t token : allowed) {
      mask[static_cast<std::size_t>(token / 32)] |= 1U << (token % 32);
    }
    return mask;
  }

  std::vector<std::vector<float>> random_logits(std::int64_t rows, std::int64_t vocab) {
    std::vector<std::vector<float>> logits;
    for (std::int64_t r = 0; r < rows; ++r) logits.push_back(this->random(vocab, 3));
    return logits;
  }
};

// Activations do not matter here: one type is enough.
using SamplingModes = ForTargets<Float32Mode>;
TYPED_TEST_SUITE(CudaSampling, SamplingModes, CudaModeName);

TYPED_TEST(CudaSampling, GreedyIsTheFirstOfTheLargest) {
  auto logits = this->random_logits(3, 4500);
  logits[0][4444] = logits[0][77] = logits[0][2050] = 100;
  for (float& v : logits[1]) v = -0.0F;  // equal to zero
  logits[1][3000] = 0;
  for (float& v : logits[2]) v = std::nanf("");
  logits[2][5] = -std::numeric_limits<float>::infinity();
  Sampling greedy;
  greedy.temperature = 0;
  this->expect_same(logits, greedy, {{}, {}, {}});
  logits[2][2049] = -std::numeric_limits<float>::max() / 2;
  this->expect_same(logits, greedy, {{}, {}, {}});
}

TYPED_TEST(CudaSampling, RepetitionPenalty) {
  auto logits = this->random_logits(2, 3000);
  logits[0][2999] = 30;
  logits[0][64] = 29;
  logits[1][2999] = 30;
  logits[1][64] = 29;
  Sampling sampling;
  sampling.temperature = 0;
  sampling.repetition_penalty = 1.3;
  this->expect_same(logits, sampling, {{2999, 1, 1}, {64, 0}});
}

TYPED_TEST(CudaSampling, PenaltiesAndBiases) {
  const auto logits = this->random_logits(2, 3000);
  std::vector<std::vector<std::int32_t>> histories = {{}, {7, 7, 7, 2500, 8, 8}};
  for (std::int32_t i = 0; i < 700; ++i) histories[0].push_back(i * i % 3000);
  Sampling sampling;
  sampling.temperature = 1.2;
  sampling.frequency_penalty = 0.7;
  sampling.presence_penalty = -0.4;
  sampling.repetition_penalty = 1.1;
  sampling.logit_bias = {{2500, 9}, {7, 8.5}, {12, -100}, {2999, 6}};
  this->expect_same(logits, sampling, histories);
  sampling.temperature = 0;
  this->expect_same(logits, sampling, histories);
}

TYPED_TEST(CudaSampling, OnlyAllowedTokens) {
  auto logits = this->random_logits(3, 4500);
  for (float& v : logits[2]) v = std::nanf("");
  const std::vector<std::vector<std::uint32_t>> masks = {
      this->mask_of(4500, {4499, 31, 32, 2048}), {}, this->mask_of(4500, {3333, 4444})};
  for (const double temperature : {0.0, 2.0}) {
    for (const int top_k : {1, 3, 50}) {
      Sampling sampling;
      sampling.temperature = temperature;
      sampling.top_k = top_k;
      this->expect_same(logits, sampling, {{}, {}, {}}, masks);
    }
  }
}

TYPED_TEST(CudaSampling, MinP) {
  const auto logits = this->random_logits(3, 5000);
  for (const double min_p : {0.02, 0.3, 1.0}) {
    for (const double top_p : {0.8, 1.0}) {
      Sampling sampling;
      sampling.temperature = 2.5;
      sampling.top_k = 40;
      sampling.top_p = top_p;
      sampling.min_p = min_p;
      this->expect_same(logits, sampling, {{}, {}, {}});
    }
  }
}

TYPED_TEST(CudaSampling, TopKAndTopP) {
  const auto logits = this->random_logits(3, 5000);
  for (const int top_k : {1, 2, 50, 64}) {
    for (const double top_p : {0.3, 0.9, 1.0}) {
      Sampling sampling;
      sampling.temperature = 1.5;
      sampling.top_k = top_k;
      sampling.top_p = top_p;
      sampling.repetition_penalty = 1.1;
      this->expect_same(logits, sampling, {{1, 2, 3}, {}, {4999}});
    }
  }
}

// Many equal logits: the order of tokens decides who is among the top k.
TYPED_TEST(CudaSampling, EqualLogitsAndASmallVocabulary) {
  Sampling sampling;
  sampling.temperature = 1;
  sampling.top_k = 5;
  this->expect_same({std::vector<float>(2100, 1.0F)}, sampling, {{}});
  sampling.top_k = 64;
  this->expect_same({this->random(7)}, sampling, {{}});
}

}  // namespace
}  // namespace fvlm
