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

  // One token for each row, and the host's, for some seeds. Each row has a history of its own.
  void expect_same(const std::vector<std::vector<float>>& logits, const Sampling& sampling,
                   const std::vector<std::vector<std::int32_t>>& histories, bool with_seen = true) {
    const auto rows = std::ssize(logits);
    const auto vocab = std::ssize(logits[0]);
    const std::int64_t words = (vocab + 31) / 32;
    std::vector<float> all;
    for (const auto& row : logits) all.insert(all.end(), row.begin(), row.end());
    const View<const float> on_device{this->upload(all), rows, vocab, vocab};
    std::byte* const scratch = this->upload(
        std::vector<std::byte>(static_cast<std::size_t>(Kernels::scratch_bytes(rows, vocab))));
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      std::vector<SamplingRow> how;
      std::vector<std::int32_t> want;
      std::vector<std::uint32_t> seen(static_cast<std::size_t>(rows * words));
      const auto mark = [&](std::size_t r, std::int32_t token) {
        seen[r * static_cast<std::size_t>(words) + static_cast<std::size_t>(token / 32)] |=
            1U << (token % 32);
      };
      for (std::size_t r = 0; r < logits.size(); ++r) {
        std::mt19937_64 random(seed + r);
        how.push_back({.temperature = sampling.temperature,
                       .top_p = sampling.top_p,
                       .repetition_penalty = sampling.repetition_penalty,
                       .draw = std::uniform_real_distribution<double>(0, 1)(random),
                       .top_k = static_cast<std::int32_t>(sampling.top_k)});
        auto changed = logits[r];
        want.push_back(Sampler(sampling, seed + r).sample(changed, histories[r]));
        for (const std::int32_t token : histories[r]) mark(r, token);
      }
      std::uint32_t* const bits = with_seen ? this->upload(seen) : nullptr;
      std::int32_t* const tokens = this->upload(std::vector<std::int32_t>(logits.size(), -1));
      Kernels::sample(*this->stream_, {on_device, this->upload(how), bits, words, tokens}, scratch);
      EXPECT_EQ(this->download(tokens, rows), want) << "seed " << seed;
      if (bits == nullptr) continue;
      for (std::size_t r = 0; r < logits.size(); ++r) mark(r, want[r]);
      EXPECT_EQ(this->download(bits, rows * words), seen);
    }
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
  this->expect_same(logits, greedy, {{}, {}, {}}, false);
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
