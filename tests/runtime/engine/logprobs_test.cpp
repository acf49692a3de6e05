// Log probabilities: what they are of, which tokens have them, and how they meet the text.
#include "runtime/engine/logprobs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

TEST(Logprobs, AreTheLogSoftmax) {
  std::vector<float> logits;
  for (const double p : {0.1, 0.4, 0.2, 0.2, 0.1}) {
    logits.push_back(static_cast<float>(std::log(p) + 7));
  }
  const TokenLogprobs found = Logprobs(logits, 3).of(4);
  EXPECT_EQ(found.chosen.token, 4);
  EXPECT_NEAR(found.chosen.logprob, std::log(0.1), 1e-6);
  ASSERT_EQ(found.top.size(), 3U);
  EXPECT_EQ(found.top[0].token, 1);
  EXPECT_EQ(found.top[1].token, 2);
  EXPECT_EQ(found.top[2].token, 3);
  EXPECT_NEAR(found.top[1].logprob, std::log(0.2), 1e-6);
  EXPECT_EQ(Logprobs(logits, 20).of(0).top.size(), 5U);
  EXPECT_TRUE(Logprobs(logits, 0).of(0).top.empty());
}

TEST(Logprobs, OfLogitsThatAreNoNumbers) {
  const float nan = std::nanf("");
  const TokenLogprobs found = Logprobs(std::vector<float>{nan, 1, nan}, 3).of(0);
  EXPECT_EQ(found.top[0].token, 1);
  EXPECT_NEAR(found.top[0].logprob, 0, 1e-12);
  EXPECT_LT(found.chosen.logprob, -1e30);
  EXPECT_FALSE(std::isnan(found.chosen.logprob));
}

class LogprobsTest : public EngineTest {
 protected:
  // What is wrong with what an answer's log probabilities say of it.
  static void expect_consistent(const Result& result, std::size_t top) {
    ASSERT_EQ(result.logprobs.size(), result.tokens.size());
    std::string text;
    for (std::size_t i = 0; i < result.tokens.size(); ++i) {
      const TokenLogprobs& one = result.logprobs[i];
      EXPECT_EQ(one.chosen.token, result.tokens[i]);
      EXPECT_LE(one.chosen.logprob, 0);
      ASSERT_EQ(one.top.size(), top);
      double sum = 0;
      for (std::size_t k = 0; k < top; ++k) {
        if (k > 0) {
          EXPECT_GE(one.top[k - 1].logprob, one.top[k].logprob);
        }
        EXPECT_EQ(one.top[k].control, one.top[k].text.starts_with("<|im_"));
        sum += std::exp(one.top[k].logprob);
      }
      EXPECT_LE(sum, 1 + 1e-6);
    }
  }
};

TEST_P(LogprobsTest, OfAGreedyAnswerAreOfTheLikeliest) {
  const auto engine = load();
  Request request = ask("count: " + digits(9), {}, 14);
  const Result plain = engine->run(request);
  EXPECT_TRUE(plain.logprobs.empty());
  request.sampling.logprobs = 5;
  const Result result = engine->run(request);
  EXPECT_EQ(result.tokens, plain.tokens);
  expect_consistent(result, 5);
  for (const TokenLogprobs& one : result.logprobs) {
    EXPECT_EQ(one.top[0].token, one.chosen.token);
    EXPECT_EQ(one.top[0].logprob, one.chosen.logprob);
  }
}

// Neither temperature nor penalties nor filters change them.
TEST_P(LogprobsTest, AreTheModels) {
  const auto engine = load();
  Request request = ask("count: " + digits(9), {}, 1);
  request.sampling.logprobs = 20;
  const Result greedy = engine->run(request);
  ASSERT_EQ(greedy.logprobs.size(), 1U);
  request.sampling.temperature = 2;
  request.sampling.top_k = 1;
  request.sampling.logit_bias = {{greedy.tokens[0], -100}};
  const Result biased = engine->run(request);
  ASSERT_EQ(biased.logprobs.size(), 1U);
  EXPECT_EQ(biased.tokens[0], greedy.logprobs[0].top[1].token);
  EXPECT_NEAR(biased.logprobs[0].chosen.logprob, greedy.logprobs[0].top[1].logprob, 1e-4);
  EXPECT_EQ(biased.logprobs[0].top[0].token, greedy.tokens[0]);
}

// They come before the text that their token completes, and say where its own begins.
TEST_P(LogprobsTest, AreToldBeforeTheirText) {
  const auto engine = load();
  Request request = ask("say " + digits(7), {}, 40);
  request.sampling.logprobs = 0;
  request.sampling.temperature = 1.5;
  request.sampling.seed = 3;
  Listener listener;
  request = listener.attach(request);
  std::string text;
  std::vector<TokenLogprobs> told;
  request.on_text = [&, next = request.on_text](std::string_view piece) {
    text += piece;
    ASSERT_FALSE(told.empty());
    EXPECT_LT(told.back().begin, text.size());
    next(piece);
  };
  request.on_logprobs = [&](const TokenLogprobs& one) {
    if (!told.empty()) {
      EXPECT_GE(one.begin, told.back().begin);
    }
    EXPECT_GE(one.begin, text.size());
    told.push_back(one);
  };
  engine->submit(request);
  const Result result = listener.result();
  ASSERT_EQ(told.size(), result.tokens.size());
  for (std::size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].chosen.token, result.tokens[i]);
    EXPECT_EQ(told[i].chosen.logprob, result.logprobs[i].chosen.logprob);
  }
}

// With a draft they are those of the tokens that stayed.
TEST_P(LogprobsTest, WithADraft) {
  const auto engine = load();
  Request request = ask("count: " + digits(9), {}, 20);
  request.sampling.logprobs = 2;
  const Result plain = engine->run(request);
  request.live = LiveView{.id = 3, .unchanged_below = 255};
  engine->run(request);
  const Result drafted = engine->run(request);
  EXPECT_GT(drafted.statistics.accepted_tokens, 5);
  expect_consistent(drafted, 2);
  ASSERT_EQ(drafted.tokens, plain.tokens);
  for (std::size_t i = 0; i < plain.tokens.size(); ++i) {
    EXPECT_EQ(drafted.logprobs[i].chosen.logprob, plain.logprobs[i].chosen.logprob);
  }
}

TEST_P(LogprobsTest, WhatCannotBeAskedFor) {
  const auto engine = load();
  Request request = ask("Hi");
  request.sampling.logprobs = 21;
  EXPECT_EQ(refusal(*engine, request), "logprobs is 21, it must be from 0 to 20");
  request.sampling.logprobs = 3;
  request.sampling.num_beams = 2;
  EXPECT_EQ(refusal(*engine, request), "logprobs are not computed in beam search");
  request = ask("Hi");
  request.sampling.logit_bias = {{999'999, 1}};
  EXPECT_NE(refusal(*engine, request).find("logit_bias names token 999999, the model has "),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, LogprobsTest, kTinyEngines, engine_test_name);

}  // namespace
}  // namespace fvlm
