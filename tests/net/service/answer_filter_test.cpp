// What a client sees of an answer: text and log probabilities agree wherever the text is cut.
#include "net/service/answer_filter.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fvlm {
namespace {

// An answer of these tokens, as the engine tells it; "text|tokens" of each piece.
std::vector<std::string> pieces(std::vector<std::string> stop,
                                const std::vector<std::string>& tokens) {
  net::AnswerFilter filter(std::move(stop));
  std::vector<std::string> all;
  const auto keep = [&](const net::AnswerFilter::Piece& piece) {
    if (piece.empty()) return;
    all.push_back(piece.text + "|");
    for (const TokenLogprobs& token : piece.logprobs) all.back() += token.chosen.text + ",";
  };
  std::size_t begin = 0;
  for (const std::string& token : tokens) {
    TokenLogprobs one;
    one.chosen.text = token;
    one.begin = begin;
    begin += token.size();
    if (filter.stopped()) break;
    filter.add(one);
    keep(filter.add(token));
  }
  keep(filter.finish());
  return all;
}
using Pieces = std::vector<std::string>;

TEST(AnswerFilter, TokensComeWithTheirText) {
  EXPECT_EQ(pieces({}, {"a", "bc", "d"}), (Pieces{"a|a,", "bc|bc,", "d|d,"}));
}

TEST(AnswerFilter, TokensWaitWithTheTextThatMayBeAStopString) {
  EXPECT_EQ(pieces({"END"}, {"a", " EN", "T", "b"}), (Pieces{"a|a,", " | EN,", "ENT|T,", "b|b,"}));
  EXPECT_EQ(pieces({"END"}, {"a", "EN"}), (Pieces{"a|a,", "EN|EN,"}));
}

TEST(AnswerFilter, TokensOfTheStopStringAreNotThere) {
  EXPECT_EQ(pieces({"END"}, {"a", "EN", "D", "b"}), (Pieces{"a|a,"}));
  EXPECT_EQ(pieces({"END"}, {"a", "bEN", "D!"}), (Pieces{"a|a,", "b|bEN,"})) << "part of it is";
}

TEST(AnswerFilter, TokensWithoutTextAreThereAtTheEnd) {
  net::AnswerFilter filter;
  TokenLogprobs one;
  one.chosen.text = "<|im_start|>";
  filter.add(one);
  EXPECT_EQ(filter.finish().logprobs.size(), 1U);
}

}  // namespace
}  // namespace fvlm
