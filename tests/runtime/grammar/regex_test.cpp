// Regular expressions: what they match, whole and as a part, and what is refused by name.
#include "runtime/grammar/regex.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fvlm/error.hpp"
#include "tests/support/cost.hpp"

namespace fvlm {
namespace {

struct RegexCase {
  std::string expression;
  std::vector<std::string> yes;
  std::vector<std::string> no;
};

void check(RegexMatch match, const std::vector<RegexCase>& cases) {
  for (const RegexCase& c : cases) {
    const CharacterDfa dfa = compile_regex(c.expression, match);
    for (const std::string& text : c.yes)
      EXPECT_TRUE(dfa.matches(text)) << c.expression << " " << text;
    for (const std::string& text : c.no)
      EXPECT_FALSE(dfa.matches(text)) << c.expression << " " << text;
  }
}

TEST(Regex, MatchesWhole) {
  check(RegexMatch::kWhole, {{"", {""}, {"a"}},
                             {"abc", {"abc"}, {"ab", "abcd", "xabc"}},
                             {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
                             {"a*b+c?", {"b", "aabbc", "bc"}, {"", "a", "bcc"}},
                             {"(ab){2,3}", {"abab", "ababab"}, {"ab", "abababab", "aba"}},
                             {"a{3}", {"aaa"}, {"aa", "aaaa"}},
                             {"a{2,}", {"aa", "aaaaaa"}, {"a"}},
                             {"a{0}b", {"b"}, {"ab"}},
                             {"(a{0,2}){2}", {"", "aaaa"}, {"aaaaa"}},
                             {"(a*)*b", {"b", "aab"}, {"a"}},
                             {"x{1,", {"x{1,"}, {"x"}},
                             {"[a-cx]", {"a", "b", "x"}, {"d", "-", ""}},
                             {"[^a-c]", {"d", "é", "\n"}, {"a", ""}},
                             {"[-a]", {"-", "a"}, {"b"}},
                             {"[a\\]\\-]", {"]", "-"}, {"\\"}},
                             {"[\\d.]+", {"1.5"}, {"a"}},
                             {".", {"a", "漢", "😀"}, {"\n", "ab", ""}},
                             {"\\d\\w\\s\\D\\W\\S", {"1_ a-b"}, {"a_ a-b"}},
                             {"\\s", {"\t", "\u00a0", "\u3000"}, {"a"}},
                             {"\\x41\\u00e9\\u{1F600}\\uD83D\\uDE00", {"Aé😀😀"}, {"Aé😀"}},
                             {"\\.\\*\\/\\\\\\$", {".*/\\$"}, {"a*/\\$"}},
                             {"(?:a)(?<n>b)(?P<m>c)", {"abc"}, {"ab"}},
                             {"a+?b*?", {"a", "aab"}, {"b"}},
                             {"^abc$", {"abc"}, {"abcd"}},
                             {"^a|b$", {"a", "b"}, {"ab"}},
                             {"[à-ÿ]+", {"éà"}, {"e"}},
                             {"}]", {"}]"}, {"}"}}});
}

TEST(Regex, SearchesUnlessAnchored) {
  check(RegexMatch::kSearch, {{"b", {"b", "abc"}, {"", "ac"}},
                              {"^b", {"b", "bc"}, {"ab"}},
                              {"b$", {"b", "ab"}, {"bc"}},
                              {"^b$", {"b"}, {"bb"}},
                              {"^a|b$", {"ax", "xb", "a", "b"}, {"xax", "bx"}},
                              {"(^a$|^b$)", {"a", "b"}, {"ab"}},
                              {"", {"", "x"}, {}},
                              {"ab+a", {"xxabbbax", "ababa"}, {"abb"}}});
}

TEST(Regex, WhatFollowsAMatchTakesNoStates) {
  EXPECT_EQ(compile_regex("abc", RegexMatch::kSearch).nodes.size(), 5U);
}

TEST(Regex, RefusesByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"(?=a)", "look-ahead"},
      {"(?!a)", "look-ahead"},
      {"(?<=a)b", "look-behind"},
      {"(?<!a)b", "look-behind"},
      {"(a)\\1", "backreference \\1"},
      {"\\k<n>", "backreference"},
      {"\\bword", "word boundary"},
      {"\\p{L}", "Unicode property"},
      {"(?>a)", "not supported"},
      {"(?i)a", "not supported"},
      {"a++", "possessive"},
      {"a**", "repetition is repeated"},
      {"*a", "nothing to repeat"},
      {"(a", "'(' without ')'"},
      {"a)", "')' without '('"},
      {"[a", "'[' without ']'"},
      {"[]", "empty character class"},
      {"[z-a]", "runs backwards"},
      {"[\\d-z]", "range from or to a class"},
      {"a{3,2}", "no count"},
      {"a{,3}", "{0,3}"},
      {"a{1000000}", "count above"},
      {"a^b", "'^' is supported only"},
      {"(a$)b", "'$' is supported only"},
      {"^*", "anchor is repeated"},
      {"\\q", "escape \\q"},
      {"\\", "ends too soon"},
      {"\\x4", "ends too soon"},
      {"\\uD800", "surrogate"},
      {"\\u{110000}", "no character"},
      {"\xff", "UTF-8"},
      {std::string(70'000, 'a'), "bytes"},
      {std::string(200, '('), "groups within one another"}};
  for (const auto& [expression, message] : cases) {
    try {
      compile_regex(expression, RegexMatch::kSearch);
      ADD_FAILURE() << expression;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos)
          << expression << ": " << error.what();
    }
  }
}

TEST(Regex, WhatWouldTakeLongIsRefused) {
  for (const std::string& expression :
       {std::string("(a{1000}){1000}"), std::string("(((a{50}){50}){50}){50}"),
        std::string("(x|y)*x(x|y){30}"), std::string("((){1000}){100000}")}) {
    const double start = processor_seconds();
    EXPECT_THROW(compile_regex(expression, RegexMatch::kSearch), Error) << expression.substr(0, 40);
    EXPECT_LT(processor_seconds() - start, 20) << expression.substr(0, 40);
  }
}

}  // namespace
}  // namespace fvlm
