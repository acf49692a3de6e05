// Answers that follow a grammar: on every device, beside others in a batch, with drafts, by beam
// search, and after the masks have been cleared.
#include <gtest/gtest.h>

#include <list>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/answer_grammar.hpp"
#include "runtime/engine/grammar_library.hpp"
#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

const char* const kSchema = R"({"type": "object", "properties": {
    "kind": {"enum": ["cat", "dog"]}, "count": {"type": "integer", "minimum": 1, "maximum": 250},
    "notes": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 2}},
    "required": ["kind", "count", "notes"]})";

Request ask_for(Grammar grammar, std::uint64_t seed, double temperature = 1.5,
                std::int64_t tokens = 80) {
  Request request = ask("What is it?", {picture(40, 30, 0)}, tokens);
  request.sampling.temperature = temperature;
  request.sampling.top_k = 0;
  request.sampling.seed = seed;
  request.grammar = std::move(grammar);
  return request;
}

class EngineGrammarTest : public EngineTest {};

TEST_P(EngineGrammarTest, AnswersAreInTheGrammar) {
  const auto engine = load();
  const std::vector<Grammar> grammars = {Grammar::json_schema(kSchema),
                                         Grammar::regex("(yes|no), [0-9]{2,4}(st|nd)?"),
                                         Grammar::choice({"a cat", "a dog", "two dogs"}),
                                         Grammar::json_schema(R"({"type": "integer"})")};
  for (const Grammar& grammar : grammars) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      const Result result = engine->run(ask_for(grammar, seed, seed == 3 ? 0 : 1.5));
      ASSERT_NE(result.outcome, Outcome::kFailed) << result.error;
      if (result.outcome == Outcome::kStop) {
        EXPECT_TRUE(grammar.matches(result.text)) << grammar.source() << ": " << result.text;
      }
    }
  }
}

TEST_P(EngineGrammarTest, AnAnswerThatEndsOnlyWhereItMustStopsThere) {
  const Result result = load()->run(ask_for(Grammar::choice({"only this"}), 1));
  EXPECT_EQ(result.text, "only this");
  EXPECT_EQ(result.outcome, Outcome::kStop);
  const Result cut = load()->run(ask_for(Grammar::regex("[0-9]{60}"), 1, 1.5, 5));
  EXPECT_EQ(cut.outcome, Outcome::kLength);
  EXPECT_EQ(cut.tokens.size(), 5U);
}

TEST_P(EngineGrammarTest, OthersInTheBatchAreUntouched) {
  const auto engine = load();
  Request free = ask("What is it?", {picture(40, 30, 1)}, 30);
  const Result alone = fresh(free);
  const Result strict_alone = fresh(ask_for(Grammar::json_object(), 7, 1.5, 30));
  Listener first;
  Listener second;
  Listener third;
  engine->submit(first.attach(ask_for(Grammar::json_object(), 7, 1.5, 30)));
  engine->submit(second.attach(free));
  engine->submit(third.attach(ask_for(Grammar::json_schema(kSchema), 8, 1.5, 30)));
  EXPECT_EQ(first.result().tokens, strict_alone.tokens);
  EXPECT_EQ(second.result().tokens, alone.tokens);
  EXPECT_NE(third.result().outcome, Outcome::kFailed);
}

TEST_P(EngineGrammarTest, DraftsChangeNothing) {
  const auto engine = load();
  const auto look = [&](const Grammar& grammar, std::uint64_t seed, double temperature) {
    Request request = ask_for(grammar, seed, temperature);
    request.live = LiveView{.id = 1};
    return request;
  };
  const Grammar schema = Grammar::json_schema(kSchema);
  const Result first = engine->run(look(schema, 1, 0));
  const Result same = engine->run(look(schema, 1, 0));
  EXPECT_EQ(same.tokens, first.tokens);
  EXPECT_GT(same.statistics.accepted_tokens, 5);
  // Of this draft the grammar allows some, and the model takes less.
  const Grammar other = Grammar::json_schema(R"({"properties": {"kind": {"enum": ["cat", "cow"]},
      "count": {"type": "integer", "minimum": 300}, "notes": {"type": "string"}}})");
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Request alone = look(other, seed, 1.0);
    alone.live.reset();
    engine->run(look(schema, 1, 0));
    EXPECT_EQ(engine->run(look(other, seed, 1.0)).tokens, fresh(alone).tokens);
  }
}

TEST_P(EngineGrammarTest, AnUnchangedFrameIsAnsweredAnewUnderAnotherGrammar) {
  const auto engine = load();
  const auto look = [&](const Grammar& grammar) {
    Request request = ask_for(grammar, 1);
    request.live = LiveView{.id = 1, .unchanged_below = 2};
    return request;
  };
  engine->run(look(Grammar::choice({"yes", "no"})));
  EXPECT_TRUE(engine->run(look(Grammar::choice({"yes", "no"}))).unchanged);
  const Result other = engine->run(look(Grammar::choice({"red"})));
  EXPECT_FALSE(other.unchanged);
  EXPECT_EQ(other.text, "red");
}

TEST_P(EngineGrammarTest, BeamsFollowIt) {
  const auto engine = load();
  const Grammar grammar = Grammar::regex("(cat|dog|bird)s?( and (cat|dog|bird)s?){1,2}");
  for (const double temperature : {0.0, 1.0}) {
    Request request = ask_for(grammar, 3, temperature);
    request.sampling.num_beams = 4;
    const Result result = engine->run(request);
    EXPECT_EQ(result.outcome, Outcome::kStop);
    EXPECT_TRUE(grammar.matches(result.text)) << result.text;
  }
}

#ifdef FVLM_HAS_EMULATOR
constexpr Device kThird = Device::kCudaEmulated;
#else
constexpr Device kThird = Device::kRef;
#endif
INSTANTIATE_TEST_SUITE_P(, EngineGrammarTest,
                         testing::Combine(testing::Values(std::string("tiny")),
                                          testing::Values(Device::kCpu, kThird)),
                         engine_test_name);

class GrammarLibraryTest : public testing::Test {
 protected:
  const Tokenizer tokenizer_ =
      Tokenizer::load(std::filesystem::path(FVLM_SOURCE) / "tools/demo/model");
  GrammarLibrary library_{tokenizer_, tokenizer_.size(), {*tokenizer_.special_token("<|im_end|>")}};
};

TEST_F(GrammarLibraryTest, RequestsWithTheSameGrammarShareMasks) {
  const auto first = library_.masks(Grammar::regex("a+"));
  EXPECT_EQ(library_.masks(Grammar::regex("a+")), first);
  EXPECT_NE(library_.masks(Grammar::regex("b+")), first);
  for (int i = 0; i < 100; ++i) library_.masks(Grammar::regex("c" + std::to_string(i)));
  library_.tidy();
  EXPECT_EQ(library_.masks(Grammar::regex("a+")), first);  // is in use
}

TEST_F(GrammarLibraryTest, AnswersGoOnAfterClearing) {
  const auto masks = library_.masks(Grammar::json_object());
  AnswerGrammar cleared(masks);
  AnswerGrammar kept(std::make_shared<TokenMasks>(
      Grammar::json_object().automaton(),
      std::make_shared<TokenTrie>(tokenizer_, static_cast<std::size_t>(tokenizer_.size()),
                                  std::vector{*tokenizer_.special_token("<|im_end|>")})));
  std::vector<std::int32_t> answer;
  for (const char* piece : {"{", "\"", "a", "\"", ":", "[", "1", ",", "{", "}"}) {
    const auto now = cleared.mask(answer);
    const auto expected = kept.mask(answer);
    EXPECT_TRUE(std::equal(now.begin(), now.end(), expected.begin(), expected.end())) << piece;
    answer.push_back(tokenizer_.encode(piece).front());
    masks->clear();
  }
}

TEST_F(GrammarLibraryTest, OfADraftOnlyWhatTheGrammarAllowsIsProposed) {
  AnswerGrammar grammar(library_.masks(Grammar::regex("[0-9]{3}")));
  const std::vector<std::int32_t> draft = tokenizer_.encode("12a");
  EXPECT_EQ(grammar.masks({}, draft).size(), 3U);
  EXPECT_EQ(grammar.masks({}, tokenizer_.encode("a")).size(), 1U);
  EXPECT_EQ(grammar.masks({}, tokenizer_.encode("1234")).size(), 4U);
}

TEST_F(GrammarLibraryTest, WithoutATokenForTheNextByteThereIsAnError) {
  const auto trie = std::make_shared<TokenTrie>(std::vector<std::string>{"a", "b", ""}, 3,
                                                std::vector<std::int32_t>{2});
  AnswerGrammar grammar(std::make_shared<TokenMasks>(Grammar::regex("ac").automaton(), trie));
  grammar.mask({});
  const std::vector<std::int32_t> answer = {0};
  EXPECT_THROW(grammar.mask(answer), Error);
}

}  // namespace
}  // namespace fvlm
