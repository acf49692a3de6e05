// Masks over a vocabulary: token for token what the automaton says, for readings with every kind of
// stack, and an answer that can always be ended.
#include "runtime/grammar/token_masks.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/grammar/automaton.hpp"
#include "tests/runtime/grammar/vocabulary.hpp"

namespace fvlm {
namespace {

// Every token, byte by byte, without the trie and what is known about nodes.
std::vector<std::int32_t> by_bytes(Machine& machine, Machine::StateId state,
                                   const TokenTrie& trie) {
  std::vector<std::int32_t> tokens;
  for (std::size_t t = 0; t < 32 * trie.mask_words(); ++t) {
    const auto token = static_cast<std::int32_t>(t);
    const std::string_view bytes = trie.bytes(token);
    const bool ends = token == trie.end_tokens().front() && machine.may_end(state);
    if (ends || (!bytes.empty() && machine.advance(state, bytes) != Machine::kDead)) {
      tokens.push_back(token);
    }
  }
  return tokens;
}

void expect_exact(const Grammar& grammar, const std::vector<std::string>& beginnings) {
  for (const std::string& beginning : beginnings) {
    TokenMasks masks(grammar.automaton(), demo_trie());
    TokenMasks::StateId state = masks.start();
    Machine machine(grammar.automaton());
    Machine::StateId expected = machine.start();
    for (const char byte : beginning) {
      const std::vector<std::int32_t> tokens = allowed_tokens(masks.mask(state));
      ASSERT_EQ(tokens, by_bytes(machine, expected, *demo_trie())) << beginning;
      for (const std::int32_t token : tokens) {
        if (demo_trie()->bytes(token) == std::string_view(&byte, 1)) {
          state = masks.advance(state, token);
          break;
        }
      }
      expected = machine.advance(expected, std::string_view(&byte, 1));
      ASSERT_NE(expected, Machine::kDead) << beginning << " at " << byte;
    }
    EXPECT_EQ(allowed_tokens(masks.mask(state)), by_bytes(machine, expected, *demo_trie()))
        << beginning;
  }
}

constexpr std::string_view kDeeperFirst = "[{\"xbc:0]}";

TEST(TokenMasks, AreWhatTheBytesSay) {
  expect_exact(Grammar::json_object(),
               {R"({"a": [1.5e3, -0, {"b\u00e9\ud83d\ude00": null}], "c": 1 })",
                "{\n  \"x\": {\n    \"y\": [[], {}, true]\n  }\n}"});
  expect_exact(Grammar::regex("(red|green|redder) [0-9]{2,3}é*"), {"red 12éé", "redder 99"});
  expect_exact(Grammar::choice({"circle", "circles", "square"}), {"circles", "square"});
  expect_exact(
      Grammar::json_schema(R"({"type": "object", "properties": {
      "s": {"type": "string", "minLength": 2, "maxLength": 5}, "t": {"type": "string", "minLength": 3},
      "a": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
      "m": {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
      "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}})"),
      {R"({"s":"ab一\nx","t":"abcd","a":[1,22,333],"m":{"x":true,"y":false},"next":{"next": null}})",
       R"({"a": [0, -1], "next": {"s": "é€"}})"});
}

TEST(TokenMasks, AreExactNearTheDeepestStack) {
  const Grammar grammar = Grammar::json_schema(R"({"$defs": {"N": {"type": "array", "items":
      {"$ref": "#/$defs/N"}}}, "$ref": "#/$defs/N"})");
  std::string deep;
  Machine machine(grammar.automaton());
  Machine::StateId state = machine.start();
  while (machine.advance(state, "[") != Machine::kDead) {
    deep += '[';
    state = machine.advance(state, "[");
    ASSERT_LT(deep.size(), 200U);
  }
  EXPECT_GT(deep.size(), 20U);
  expect_exact(grammar, {deep, deep + std::string(deep.size(), ']')});
}

// Tokens of single bytes and of many brackets.
std::shared_ptr<const TokenTrie> bracket_trie() {
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 128; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const std::size_t count : {2U, 8U, 30U, 60U}) {
    tokens.emplace_back(count, '[');
    tokens.emplace_back(count, ']');
  }
  return std::make_shared<TokenTrie>(tokens, tokens.size(), std::vector<std::int32_t>{0});
}

TEST(TokenMasks, ATokenMayNotPassTheDeepestStack) {
  const Grammar grammar = Grammar::json_schema(R"({"$defs": {"N": {"type": "array", "items":
      {"$ref": "#/$defs/N"}}}, "$ref": "#/$defs/N"})");
  const auto trie = bracket_trie();
  TokenMasks masks(grammar.automaton(), trie);
  TokenMasks::StateId state = masks.start();
  int depth = 0;
  for (; state != TokenMasks::kDead && depth < 1000; ++depth) {
    for (const std::int32_t token : allowed_tokens(masks.mask(state))) {
      if (token == trie->end_tokens().front()) continue;
      EXPECT_NE(masks.advance(state, token), TokenMasks::kDead) << depth << trie->bytes(token);
    }
    state = masks.advance(state, '[' + 1);
  }
  EXPECT_GT(depth, 20);
  EXPECT_LT(depth, 100);
}

// A level takes several calls: one that is begun must find room for all of them.
TEST(TokenMasks, TheDeepestAnswerCanBeEnded) {
  const auto trie = bracket_trie();
  for (const char* schema : {R"({"$defs": {"A": {"anyOf": [{"const": 0},
           {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "object", "required": ["b"],
            "properties": {"b": {"type": "object", "required": ["c"],
                                 "properties": {"c": {"$ref": "#/$defs/A"}}}}}}]}}, "$ref": "#/$defs/A"})",
                             R"({"type": "object", "properties": {"x": {"$ref": "#"}}})"}) {
    const Grammar grammar = Grammar::json_schema(schema);
    TokenMasks masks(grammar.automaton(), trie);
    TokenMasks::StateId state = masks.start();
    std::string answer;
    while (answer.size() < 5000) {
      const std::vector<std::int32_t> tokens = allowed_tokens(masks.mask(state));
      const auto next = std::find_if(kDeeperFirst.begin(), kDeeperFirst.end(), [&](char byte) {
        return std::find(tokens.begin(), tokens.end(), byte + 1) != tokens.end();
      });
      if (next == kDeeperFirst.end()) break;
      answer += *next;
      state = masks.advance(state, *next + 1);
    }
    EXPECT_TRUE(grammar.matches(answer)) << answer;
    EXPECT_GT(answer.size(), 100U);
  }
}

TEST(TokenMasks, ControlTokensAreNeverText) {
  TokenMasks masks(Grammar::regex(".*").automaton(), demo_trie());
  const std::int32_t end = demo_trie()->end_tokens().front();
  const std::vector<std::int32_t> tokens = allowed_tokens(masks.mask(masks.start()));
  EXPECT_EQ(masks.advance(masks.start(), end), TokenMasks::kDead);
  EXPECT_TRUE(std::find(tokens.begin(), tokens.end(), end) != tokens.end());
}

}  // namespace
}  // namespace fvlm
