// The phases of a request, and what its caller hears.
#include "runtime/engine/generation.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace fvlm {
namespace {

using Ids = std::vector<std::int32_t>;
using Phase = Generation::Phase;

constexpr std::int64_t kPromptTokens = 5;
const Ids kStop = {9};

class GenerationTest : public testing::Test {
 protected:
  Generation make(Request request = {}) {
    request.sampling.temperature = 0;
    PromptLayout prompt{.ids = Ids(kPromptTokens, 1)};
    prompt.spans = prompt_spans(prompt.ids, 16);
    return {1, std::move(request), std::move(prompt), {.new_tokens = 3}, 0};
  }
  Sequence sequence(std::int64_t tokens) {
    Sequence s(pool_);
    s.extend(tokens);
    return s;
  }
  // One in each phase.
  Generation in(Phase phase) {
    Generation g = make();
    if (phase >= Phase::kPrepared) g.prepare(sequence(1));
    if (phase >= Phase::kPrefill) g.prefill(2);
    if (phase >= Phase::kDecode) g.prefill(2);
    if (phase >= Phase::kDone) g.end(Outcome::kCancelled);
    return g;
  }

  PagePool pool_{10};
};

TEST_F(GenerationTest, GoesThroughItsPhases) {
  Generation g = make();
  EXPECT_EQ(g.phase(), Phase::kQueued);
  g.prepare(sequence(1));
  EXPECT_EQ(g.phase(), Phase::kPrepared);
  EXPECT_EQ(g.prefilled(), 1);
  g.prefill(2);
  EXPECT_EQ(g.phase(), Phase::kPrefill);
  g.prefill(2);
  EXPECT_EQ(g.phase(), Phase::kDecode);
  EXPECT_EQ(g.prefill_passes(), 2);
  g.advance(Ids{4}, kStop);
  EXPECT_EQ(g.phase(), Phase::kDecode);
  g.advance(Ids{9}, kStop);
  EXPECT_EQ(g.phase(), Phase::kDone);
  const Result result = g.take_result();
  EXPECT_EQ(result.outcome, Outcome::kStop);
  EXPECT_EQ(result.tokens, Ids{4});
  EXPECT_EQ(result.statistics.prompt_tokens, kPromptTokens);
  EXPECT_EQ(result.statistics.cached_tokens, 1);
  EXPECT_EQ(result.statistics.new_tokens, 2);
}

TEST_F(GenerationTest, RefusesEveryTransitionFromAnotherPhase) {
  for (const Phase phase :
       {Phase::kQueued, Phase::kPrepared, Phase::kPrefill, Phase::kDecode, Phase::kDone}) {
    const auto refuses = [&](bool allowed, auto&& transition) {
      Generation g = in(phase);
      if (allowed) {
        EXPECT_NO_THROW(transition(g)) << static_cast<int>(phase);
      } else {
        EXPECT_THROW(transition(g), std::logic_error) << static_cast<int>(phase);
        EXPECT_EQ(g.phase(), phase);
      }
    };
    refuses(phase == Phase::kQueued, [&](Generation& g) { g.prepare(sequence(0)); });
    refuses(phase == Phase::kQueued, [&](Generation& g) { g.repeat({4}, Outcome::kStop); });
    refuses(phase == Phase::kPrepared || phase == Phase::kPrefill,
            [&](Generation& g) { g.prefill(1); });
    refuses(phase == Phase::kDecode, [&](Generation& g) { g.advance(Ids{4}, kStop); });
    refuses(phase != Phase::kDone, [&](Generation& g) { g.end(Outcome::kCancelled); });
    refuses(phase != Phase::kDone, [&](Generation& g) { g.fail(std::runtime_error("no")); });
    refuses(phase == Phase::kDone, [&](Generation& g) { g.take_result(); });
  }
}

TEST_F(GenerationTest, CannotPrefillMoreThanItsPrompt) {
  Generation g = in(Phase::kPrepared);
  EXPECT_THROW(g.prefill(kPromptTokens), std::logic_error);
  EXPECT_EQ(g.phase(), Phase::kPrepared);
}

TEST_F(GenerationTest, KeepsWhatWasSaidBeforeItsEnd) {
  Generation g = in(Phase::kDecode);
  g.advance(Ids{4}, kStop);
  g.advance(Ids{5}, kStop);
  g.end(Outcome::kCancelled);
  const Result result = g.take_result();
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_EQ(result.tokens, (Ids{4, 5}));
}

TEST_F(GenerationTest, EachTokenIsSaidOnce) {
  Generation g = in(Phase::kDecode);
  const auto take = [&] {
    const auto tokens = g.take_unsaid();
    return Ids(tokens.begin(), tokens.end());
  };
  EXPECT_EQ(take(), Ids{});
  g.advance(Ids{4}, kStop);
  EXPECT_EQ(take(), Ids{4});
  EXPECT_EQ(take(), Ids{});
  g.advance(Ids{5}, kStop);
  g.advance(Ids{6}, kStop);
  EXPECT_EQ(g.outcome(), Outcome::kLength);
  EXPECT_EQ(take(), (Ids{5, 6}));
  EXPECT_EQ(take(), Ids{});
}

// Of beams, too, whose tokens are said at the end.
TEST_F(GenerationTest, ARepeatedAnswerIsSaidOnce) {
  for (const std::int64_t beams : {1, 3}) {
    Request request;
    request.sampling.num_beams = beams;
    std::string heard;
    request.on_text = [&](std::string_view piece) { heard += piece; };
    Generation g = make(std::move(request));
    g.repeat({4, 5}, Outcome::kStop);
    g.say("said before");
    EXPECT_TRUE(g.take_unsaid().empty());
    const Result result = g.take_result();
    EXPECT_EQ(heard, "said before");
    EXPECT_EQ(result.text, "said before");
    EXPECT_EQ(result.tokens, (Ids{4, 5}));
    EXPECT_TRUE(result.unchanged);
    EXPECT_EQ(result.outcome, Outcome::kStop);
  }
}

TEST_F(GenerationTest, AFailureSaysWhy) {
  Generation g = in(Phase::kPrefill);
  g.fail(std::runtime_error("out of pages"));
  const Result result = g.take_result();
  EXPECT_EQ(result.outcome, Outcome::kFailed);
  EXPECT_EQ(result.error, "out of pages");
}

}  // namespace
}  // namespace fvlm
