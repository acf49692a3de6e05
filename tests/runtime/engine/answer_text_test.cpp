// The ends of an answer, wherever its pieces are cut.
#include "runtime/engine/answer_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace fvlm {
namespace {

// All of it, in pieces of `size` bytes; no piece may end in white space.
std::string streamed(const std::string& text, std::size_t size) {
  AnswerText stream;
  std::string all;
  const auto add = [&](const std::string& piece) {
    EXPECT_FALSE(piece.ends_with(' ') || piece.ends_with('\n')) << '"' << piece << '"';
    all += piece;
  };
  for (std::size_t i = 0; i < text.size(); i += size) add(stream.push(text.substr(i, size)));
  add(stream.finish());
  return all;
}

TEST(AnswerText, HasNoWhiteSpaceAtItsEnds) {
  const struct {
    std::string text;
    std::string stripped;  // by Python
  } cases[] = {
      {"", ""},
      {" \n\t ", ""},
      {"a", "a"},
      {" A cat.\n", "A cat."},
      {"\r\n two  words \n\n and more \t", "two  words \n\n and more"},
      {"\u3000\u00a0x\u2003y\u2028", "x\u2003y"},
      {"\x1c\x1d\x1e\x1f\x0b\x0c"
       "a\x1f"
       "b\x85",
       "a\x1f"
       "b\ufffd"},
      {"\u200bno space\u200b", "\u200bno space\u200b"},
      {" caf\xc3", "caf\ufffd"},
  };
  for (const auto& [text, stripped] : cases) {
    for (std::size_t size = 1; size <= text.size() + 1; ++size) {
      EXPECT_EQ(streamed(text, size), stripped) << '"' << text << "\" by " << size;
    }
  }
}

TEST(AnswerText, SaysAtOnceWhatMayBeSaid) {
  AnswerText stream;
  EXPECT_EQ(stream.push("  one"), "one");
  EXPECT_EQ(stream.push(" "), "");
  EXPECT_EQ(stream.push("two "), " two");
  EXPECT_EQ(stream.finish(), "");
}

TEST(AnswerText, WhatContinuesATextKeepsItsBeginning) {
  AnswerText stream(true);
  EXPECT_EQ(stream.push(" "), "");
  EXPECT_EQ(stream.held(), 1U);
  EXPECT_EQ(stream.push("cat"), " cat");
  EXPECT_EQ(stream.push("\n"), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(AnswerText, SaysHowMuchItHolds) {
  AnswerText stream;
  stream.push(" \t");
  EXPECT_EQ(stream.held(), 0U) << "never said";
  stream.push("a \xc3");
  EXPECT_EQ(stream.held(), 2U);
  EXPECT_EQ(stream.push("\xa9"), " \xc3\xa9");
  EXPECT_EQ(stream.held(), 0U);
}

}  // namespace
}  // namespace fvlm
