// The sampler against what its definition says: which tokens may be chosen, how often, and in
// which order the filters apply.
#include "runtime/engine/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <vector>

namespace fvlm {
namespace {

using Ids = std::vector<std::int32_t>;
using Logits = std::vector<float>;
using Mask = std::vector<std::uint32_t>;

constexpr int kDraws = 40000;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampling settings(double temperature, std::int64_t top_k = 0, double top_p = 1,
                  double penalty = 1) {
  Sampling sampling;
  sampling.temperature = temperature;
  sampling.top_k = top_k;
  sampling.top_p = top_p;
  sampling.repetition_penalty = penalty;
  return sampling;
}

// Under these each token is as likely as its logit says.
Sampling plain() {
  return settings(1);
}

// Of an answer that has these tokens.
Sampler sampler_after(const Ids& history, const Sampling& sampling, std::uint64_t seed = 1) {
  Sampler sampler(sampling, seed);
  for (const std::int32_t token : history) sampler.append(token);
  return sampler;
}

std::int32_t once(const Sampling& sampling, Logits logits, const Ids& history = {},
                  const Mask& allowed = {}) {
  return sampler_after(history, sampling).sample(logits, allowed);
}

// How often each token comes in many draws.
std::vector<double> frequencies(const Sampling& sampling, const Logits& logits,
                                const Ids& history = {}, const Mask& allowed = {}) {
  Sampler sampler = sampler_after(history, sampling, 11);
  std::vector<double> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    Logits copy = logits;
    ++counts[static_cast<std::size_t>(sampler.sample(copy, allowed))];
  }
  for (double& count : counts) count /= kDraws;
  return counts;
}

// Expects frequencies that differ from probabilities by chance only: 5 standard deviations.
void expect_near(const std::vector<double>& found, const std::vector<double>& probabilities) {
  ASSERT_EQ(found.size(), probabilities.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double p = probabilities[i];
    EXPECT_NEAR(found[i], p, 5 * std::sqrt(p * (1 - p) / kDraws)) << "token " << i;
  }
}

Logits logs(const std::vector<double>& probabilities) {
  Logits logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

TEST(Sampler, TemperatureZeroTakesTheFirstOfTheLikeliest) {
  const Sampling greedy = settings(0);
  EXPECT_EQ(once(greedy, {1, 3, 2}), 1);
  EXPECT_EQ(once(greedy, {1, 3, 3, 3}), 1);
  EXPECT_EQ(once(greedy, {-5, -7, -5}), 0);
  EXPECT_EQ(once(greedy, {4}), 0);
}

TEST(Sampler, OneTokenLeftIsGreedy) {
  const Logits logits = {0.1F, 0.3F, 0.2F, 0.3F, -1};
  for (const Sampling& sampling :
       {settings(5, 1), settings(5, 0, 1e-9), settings(1e-6, 0, 0.4), settings(1e-300, 1)}) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      Logits copy = logits;
      ASSERT_EQ(Sampler(sampling, seed).sample(copy), 1);
    }
  }
}

TEST(Sampler, DrawsAsOftenAsTheSoftmaxSays) {
  const std::vector<double> p = {0.05, 0.4, 0.25, 0.1, 0.2};
  expect_near(frequencies(plain(), logs(p)), p);
}

TEST(Sampler, TemperatureDividesTheLogits) {
  const std::vector<double> p = {0.05, 0.4, 0.25, 0.1, 0.2};
  for (const double temperature : {0.2, 0.7, 3.0}) {
    std::vector<double> powers;
    for (const double one : p) powers.push_back(std::pow(one, 1 / temperature));
    const double sum = std::accumulate(powers.begin(), powers.end(), 0.0);
    for (double& one : powers) one /= sum;
    expect_near(frequencies(settings(temperature, 0), logs(p)), powers);
  }
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  expect_near(frequencies(settings(1, 2), logs({0.1, 0.3, 0.2, 0.4})), {0, 3 / 7.0, 0, 4 / 7.0});
  expect_near(frequencies(settings(1, 99), logs({0.5, 0.5})), {0.5, 0.5});
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  const Logits logits = logs({0.1, 0.3, 0.2, 0.4});
  const auto with = [&](double top_p) { return frequencies(settings(1, 0, top_p), logits); };
  expect_near(with(0.35), {0, 0, 0, 1});
  expect_near(with(0.6), {0, 3 / 7.0, 0, 4 / 7.0});
  expect_near(with(0.75), {0, 3 / 9.0, 2 / 9.0, 4 / 9.0});
  expect_near(with(1), {0.1, 0.3, 0.2, 0.4});
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  // Of 0.4 and 0.3 alone the first has 0.57: enough for 0.5, which 0.4 would not be.
  expect_near(frequencies(settings(1, 2, 0.5), logs({0.4, 0.3, 0.2, 0.1})), {1, 0, 0, 0});
}

TEST(Sampler, TopPCountsAfterTheTemperature) {
  // At temperature 1/2 0.6 and 0.4 become 0.69 and 0.31.
  expect_near(frequencies(settings(0.5, 0, 0.65), logs({0.6, 0.4})), {1, 0});
}

TEST(Sampler, ThePenaltyLowersWhatWasThere) {
  const Sampling sampling = settings(0, 0, 1, 2);
  Logits logits = {3, -1, 2, 0, 1};
  const Ids history = {0, 1, 0, 0, 3, -200, 5, 1 << 30};  // an image, and ids beyond the logits
  EXPECT_EQ(sampler_after(history, sampling).sample(logits), 2);
  EXPECT_EQ(logits, (Logits{1.5F, -2, 2, 0, 1}));
  EXPECT_EQ(once(settings(0, 0, 1, 0.5), {1, 1.5F}, {0}), 0);

  // exp(log 4 / 2) = 2 against 2 and 1.
  const Logits before = {std::log(4.0F), std::log(2.0F), 0};
  expect_near(frequencies(settings(1, 0, 1, 2), before, {0}), {0.4, 0.4, 0.2});
}

TEST(Sampler, MinPKeepsWhatIsLikelyBesideTheLikeliest) {
  const auto with = [&](double min_p, std::int64_t top_k = 0, double top_p = 1) {
    Sampling sampling = settings(1, top_k, top_p);
    sampling.min_p = min_p;
    return frequencies(sampling, logs({0.1, 0.3, 0.2, 0.4}));
  };
  expect_near(with(0.24), {0.1, 0.3, 0.2, 0.4});
  expect_near(with(0.26), {0, 3 / 9.0, 2 / 9.0, 4 / 9.0});
  expect_near(with(0.6), {0, 3 / 7.0, 0, 4 / 7.0});
  expect_near(with(1), {0, 0, 0, 1});
  // After top-k and top-p: of 0.4 and 0.3 alone both stay.
  expect_near(with(0.7, 2), {0, 3 / 7.0, 0, 4 / 7.0});
  expect_near(with(0.6, 0, 0.8), {0, 3 / 7.0, 0, 4 / 7.0});
  // After the temperature: 0.3 / 0.4 squared is less than 0.6.
  Sampling cold = settings(0.5);
  cold.min_p = 0.6;
  EXPECT_EQ(frequencies(cold, logs({0.1, 0.3, 0.2, 0.4})), (std::vector<double>{0, 0, 0, 1}));
}

TEST(Sampler, FrequencyAndPresenceAreSubtracted) {
  Sampling sampling = settings(0);
  sampling.frequency_penalty = 0.5;
  sampling.presence_penalty = 0.25;
  Logits logits = {3, 2, -1, 1};
  sampler_after({0, 0, 2, 0}, sampling).sample(logits);
  EXPECT_EQ(logits, (Logits{1.25F, 2, -1.75F, 1}));
  sampling.frequency_penalty = -2;
  sampling.presence_penalty = 0;
  EXPECT_EQ(once(sampling, {3, 2, 1}, {2, 2}), 2);
}

TEST(Sampler, BiasThenRepetitionThenFrequency) {
  Sampling sampling = settings(0, 0, 1, 2);
  sampling.frequency_penalty = 1;
  sampling.logit_bias = {{0, -4}, {1, 3}, {0, 1}, {3, 100}};
  Logits logits = {1, 1, 5};
  sampler_after({0, 1}, sampling).sample(logits);
  EXPECT_EQ(logits, (Logits{-5, 1, 5})) << "(1 - 3) * 2 - 1, (1 + 3) / 2 - 1";
}

TEST(Sampler, ABiasOfAHundredDecides) {
  for (const double temperature : {0.0, 1.0}) {
    Sampling sampling = settings(temperature, 0);
    sampling.logit_bias = {{2, 100}};
    EXPECT_EQ(once(sampling, {30, 2, -20, 1}), 2);
    sampling.logit_bias = {{0, -100}};
    EXPECT_EQ(once(sampling, {30, 29, -20, 1}), 1);
  }
}

TEST(Sampler, OnlyAllowedTokensAreChosen) {
  const std::vector<double> p = {0.1, 0.3, 0.2, 0.4};
  const Mask allowed = {0b0101};
  expect_near(frequencies(plain(), logs(p), {}, allowed), {1 / 3.0, 0, 2 / 3.0, 0});
  expect_near(frequencies(settings(1, 2), logs(p), {}, allowed), {1 / 3.0, 0, 2 / 3.0, 0});
  expect_near(frequencies(settings(1, 0, 0.5), logs(p), {}, allowed), {0, 0, 1, 0});
  Sampling sampling = plain();
  sampling.min_p = 0.6;  // of the largest that is allowed
  expect_near(frequencies(sampling, logs(p), {}, allowed), {0, 0, 1, 0});
  EXPECT_EQ(once(settings(0), logs(p), {}, allowed), 2);
  // Whatever the others are, and beyond a word's end.
  EXPECT_EQ(once(settings(0), {kInfinity, kNan, kNan}, {}, {0b010}), 1);
  EXPECT_EQ(once(settings(0.5), {kInfinity, kNan, kNan}, {}, {0b010}), 1);
  EXPECT_EQ(once(settings(0), Logits(70, 1), {}, {0, 0, 0b1000}), 67);
  EXPECT_EQ(once(settings(1), Logits(70, 1), {}, {0, 0, 0b1000}), 67);
}

// Beams go on with allowed tokens only, and adjust log probabilities.
TEST(SamplerCandidates, AreAllowed) {
  Sampling sampling = settings(0);
  sampling.logit_bias = {{0, 2}};
  Logits logits = logs({0.1, 0.3, 0.2, 0.4});
  const auto found = Sampler(sampling, 1).candidates(logits, {}, 9, Mask{0b0111});
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].token, 0);
  EXPECT_NEAR(found[0].score, std::log(0.1) + 2, 1e-5);
  EXPECT_EQ(found[1].token, 1);
  EXPECT_NEAR(found[1].score, std::log(0.3), 1e-5);
}

// What a device is told of a row is what the host does when the answer has come to it.
TEST(Sampler, ParametersOfProposedTokens) {
  Sampling sampling = settings(0.8, 5, 0.9, 1.5);
  sampling.min_p = 0.1;
  sampling.frequency_penalty = 0.5;
  sampling.logit_bias = {{1, 3}, {4, -2}};
  const Logits logits = {1, 2, -3, 4, 0.5F, 2.5F};
  const Ids history = {3, 4, 3};
  const Ids proposed = {1, 3, 1};
  Sampler ahead = sampler_after(history, sampling, 5);
  const auto rows = ahead.params(proposed);
  ASSERT_EQ(rows.size(), 4U);
  Sampler host = sampler_after(history, sampling, 5);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (r > 0) host.append(proposed[r - 1]);
    EXPECT_EQ(rows[r].draw, host.params()[0].draw);
    EXPECT_EQ(rows[r].top_k, 5);
    EXPECT_EQ(rows[r].min_p, 0.1);
    Logits by_rows = logits;
    for (const LogitAdjustment& by : rows[r].adjustments) {
      float& logit = by_rows[static_cast<std::size_t>(by.token)];
      logit = adjusted(logit, by);
    }
    Logits by_host = logits;
    host.sample(by_host);
    EXPECT_EQ(by_rows, by_host) << "row " << r;
  }
  // None of them has happened.
  EXPECT_EQ(ahead.params()[0].draw, rows[0].draw);
  Logits now = logits;
  ahead.sample(now);
  Logits before = logits;
  sampler_after(history, sampling, 5).sample(before);
  EXPECT_EQ(now, before);
}

TEST(Sampler, TheSeedDecides) {
  const Logits logits(1000, 0.0F);
  const auto draws = [&](std::uint64_t seed) {
    Sampler sampler(plain(), seed);
    Ids ids;
    for (int i = 0; i < 20; ++i) {
      Logits copy = logits;
      ids.push_back(sampler.sample(copy));
    }
    return ids;
  };
  EXPECT_EQ(draws(5), draws(5));
  EXPECT_NE(draws(5), draws(6));
}

TEST(Sampler, LogitsThatAreNoNumbersAreNotChosen) {
  for (const double temperature : {0.0, 0.2, 1.0}) {
    for (const double penalty : {1.0, 1.3}) {
      const Sampling sampling = settings(temperature, 3, 0.9, penalty);
      EXPECT_EQ(once(sampling, {kNan, 1, kNan, kNan}, {0, 1}), 1);
      EXPECT_EQ(once(sampling, {-kInfinity, kNan, -3, -kInfinity}, {0, 2}), 2);
      EXPECT_EQ(once(sampling, {kNan, 1, kInfinity, 2}, {2}), 2);
    }
  }
}

TEST(Sampler, AnyLogitsGiveSomeToken) {
  const std::vector<float> odd = {kNan,
                                  kInfinity,
                                  -kInfinity,
                                  std::numeric_limits<float>::max(),
                                  std::numeric_limits<float>::lowest(),
                                  0};
  for (const float a : odd) {
    for (const float b : odd) {
      for (const double temperature : {0.0, 1e-300, 1.0, 1e300}) {
        const Sampling sampling = settings(temperature, 0, 0.9, 1.5);
        const std::int32_t token = once(sampling, {a, b, a}, {0, 1});
        EXPECT_TRUE(token >= 0 && token < 3);
        Logits logits = {a, b, a};
        for (const auto& c : Sampler(sampling, 1).candidates(logits, {}, 9))
          EXPECT_FALSE(std::isnan(c.score));
      }
    }
  }
}

TEST(SamplerCandidates, AreTheLikeliestWithTheirLogProbabilities) {
  Sampler sampler(settings(0, 1, 0.1), 1);  // filters are for drawing only
  Logits logits = logs({0.1, 0.2, 0.4, 0.1, 0.2});
  const auto found = sampler.candidates(logits, {}, 4);
  ASSERT_EQ(found.size(), 4U);
  const Ids order = {2, 1, 4, 0};
  const std::vector<double> p = {0.4, 0.2, 0.2, 0.1};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(found[i].token, order[i]);
    EXPECT_NEAR(std::exp(found[i].score), p[i], 1e-6);
  }
}

TEST(SamplerCandidates, AreDrawnWithoutReplacement) {
  const std::vector<double> p = {0.1, 0.5, 0.15, 0.25};
  Sampler sampler(plain(), 3);
  std::vector<double> first(4);
  std::vector<double> second(4);
  for (int i = 0; i < kDraws; ++i) {
    Logits logits = logs(p);
    const auto found = sampler.candidates(logits, {}, 2);
    ASSERT_EQ(found.size(), 2U);
    ASSERT_NE(found[0].token, found[1].token);
    EXPECT_NEAR(std::exp(found[0].score), p[static_cast<std::size_t>(found[0].token)], 1e-6);
    first[static_cast<std::size_t>(found[0].token)] += 1.0 / kDraws;
    second[static_cast<std::size_t>(found[1].token)] += 1.0 / kDraws;
  }
  expect_near(first, p);
  // The second is i if the first was another, j, and i was drawn from what j left.
  std::vector<double> expected(4);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      if (i != j) expected[i] += p[j] * p[i] / (1 - p[j]);
    }
  }
  expect_near(second, expected);
}

// generate() changes log probabilities, not logits, and does not make them probabilities again.
TEST(SamplerCandidates, PenaltyAndTemperatureScaleLogProbabilities) {
  for (const double temperature : {0.0, 0.5}) {
    Logits logits = logs({0.1, 0.2, 0.4, 0.3});
    for (float& logit : logits) logit += 7;  // above 0, unlike log probabilities
    std::map<std::int32_t, double> scores;
    const Ids history = {3};
    for (const auto& c : Sampler(settings(temperature, 2, 1, 3), 1).candidates(logits, history, 3))
      scores[c.token] = c.score;
    const double scale = temperature == 0 ? 1 : 1 / temperature;
    EXPECT_NEAR(scores.at(2), std::log(0.4) * scale, 1e-5);
    EXPECT_NEAR(scores.at(1), std::log(0.2) * scale, 1e-5);
    EXPECT_EQ(scores.contains(3), false) << "3 log 0.3 is less than log 0.1";
    EXPECT_EQ(scores.contains(0), temperature == 0) << "top_k is for drawing only";
  }
}

TEST(SamplerCandidates, FiltersLeaveFewer) {
  Logits logits = logs({0.1, 0.5, 0.15, 0.25});
  EXPECT_EQ(Sampler(settings(1, 3), 1).candidates(logits, {}, 9).size(), 3U);
}

TEST(Sampling, TheDefaultsAreFine) {
  EXPECT_EQ(Sampling{}.problem(), "");
}

TEST(Sampling, SaysWhichSettingIsWrong) {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  const auto expect_refusal = [](const std::string& name, auto Sampling::*setting, auto values) {
    for (const auto value : values) {
      Sampling sampling;
      sampling.*setting = value;
      const std::string problem = sampling.problem();
      EXPECT_EQ(problem.rfind(name + " is ", 0), 0U) << name << " = " << value << ": " << problem;
      EXPECT_EQ(problem.find('\n'), problem.npos);
    }
  };
  expect_refusal("temperature", &Sampling::temperature,
                 std::vector{-1.0, -1e-9, nan, infinity, -infinity});
  expect_refusal("top_k", &Sampling::top_k, std::vector{-1, -50});
  expect_refusal("top_p", &Sampling::top_p, std::vector{0.0, -0.1, 1.01, nan, infinity});
  expect_refusal("min_p", &Sampling::min_p, std::vector{-0.1, 1.1, nan, infinity});
  expect_refusal("frequency_penalty", &Sampling::frequency_penalty,
                 std::vector{-2.1, 2.1, nan, infinity});
  expect_refusal("presence_penalty", &Sampling::presence_penalty,
                 std::vector{-2.1, 2.1, nan, -infinity});
  expect_refusal("repetition_penalty", &Sampling::repetition_penalty,
                 std::vector{0.0, -1.0, nan, infinity});
  expect_refusal("num_beams", &Sampling::num_beams, std::vector{0, -1, 65});
  expect_refusal("max_new_tokens", &Sampling::max_new_tokens, std::vector{0, -5});
}

TEST(Sampling, SaysWhichBiasIsWrong) {
  const auto problem = [](TokenBias bias) {
    Sampling sampling;
    sampling.logit_bias = {{1, 1}, bias};
    return sampling.problem();
  };
  EXPECT_EQ(problem({7, -100}), "");
  EXPECT_EQ(problem({7, 100.5}), "logit_bias of token 7 is 100.5, it must be from -100 to 100");
  EXPECT_NE(problem({7, std::nan("")}), "");
  EXPECT_EQ(problem({-1, 1}), "logit_bias names token -1, ids begin at 0");
}

TEST(Sampling, ItsBordersAreAllowed) {
  Sampling sampling = settings(0, 0, 1, 0.1);
  sampling.num_beams = 64;
  sampling.max_new_tokens = 1;
  EXPECT_EQ(sampling.problem(), "");
  EXPECT_EQ(settings(1e300, 1, 1e-12, 1e300).problem(), "");
}

}  // namespace
}  // namespace fvlm
