// The tokeniser against 400 strings encoded by an independent implementation, and on the inputs
// that break tokenisers: special tokens in odd places, invalid UTF-8, megabytes of one character.
#include "runtime/tokenizer/tokenizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fvlm/error.hpp"
#include "runtime/tokenizer/pre_split.hpp"
#include "runtime/tokenizer/unicode.hpp"
#include "runtime/tokenizer/utf8_stream.hpp"

namespace fvlm {
namespace {

using Ids = std::vector<std::int32_t>;
using std::chrono::duration;
using std::chrono::steady_clock;

const std::filesystem::path kFolder = std::filesystem::path(FVLM_TEST_DATA) / "tokenizer";

const Tokenizer& tokenizer() {
  static const Tokenizer loaded = Tokenizer::load(kFolder);
  return loaded;
}

struct Case {
  std::string text;
  Ids ids;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> read = [] {
    std::vector<Case> result;
    std::ifstream file(kFolder / "cases.jsonl");
    for (std::string line; std::getline(file, line);) {
      const auto json = nlohmann::json::parse(line);
      result.push_back({json.at("text"), json.at("ids")});
    }
    return result;
  }();
  return read;
}

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    const std::size_t length = first_piece_length(text);
    result.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return result;
}

std::string repeated(std::string_view text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

TEST(Tokenizer, EncodesEveryCaseLikeTheReference) {
  ASSERT_EQ(cases().size(), 400U);
  for (const Case& c : cases()) EXPECT_EQ(tokenizer().encode(c.text), c.ids) << c.text;
}

TEST(Tokenizer, DecodesToTheNormalisedText) {
  for (const Case& c : cases()) EXPECT_EQ(tokenizer().decode(c.ids), to_nfc(c.text));
}

TEST(Tokenizer, StreamsEveryCaseInWholeCharacters) {
  for (const Case& c : cases()) {
    Utf8Stream stream;
    std::string joined;
    for (const std::int32_t id : c.ids) {
      const std::string piece = stream.push(tokenizer().token_bytes(id));
      EXPECT_EQ(piece, to_nfc(piece)) << "a piece that is cut inside a character";
      joined += piece;
    }
    EXPECT_EQ(stream.finish(), "");
    EXPECT_EQ(joined, tokenizer().decode(c.ids));
  }
}

TEST(Tokenizer, ThreadsShareOne) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&wrong] {
      for (const Case& c : cases()) wrong += tokenizer().encode(c.text) != c.ids ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer& t = tokenizer();
  EXPECT_EQ(t.size(), 151646);
  EXPECT_EQ(t.token_bytes(220), " ");
  EXPECT_EQ(t.token_bytes(151645), "<|im_end|>");
  EXPECT_EQ(t.token_bytes(-1), "");
  EXPECT_EQ(t.token_bytes(-200), "");
  EXPECT_EQ(t.token_bytes(151646), "");
  EXPECT_EQ(t.token_bytes(151935), "");
  EXPECT_EQ(t.special_token("<|im_end|>"), 151645);
  EXPECT_EQ(t.special_token("<|endoftext|>"), 151643);
  EXPECT_EQ(t.special_token("hello"), std::nullopt);
  EXPECT_EQ(t.special_token(""), std::nullopt);
  EXPECT_TRUE(t.is_special(151643));
  EXPECT_FALSE(t.is_special(151642));
  EXPECT_FALSE(t.is_special(151646));
}

TEST(Tokenizer, CutsSpecialTokensOutWhole) {
  const Tokenizer& t = tokenizer();
  EXPECT_EQ(t.encode("<|im_end|>"), (Ids{151645}));
  EXPECT_EQ(t.encode("<|im_end|><|im_end|>"), (Ids{151645, 151645}));
  EXPECT_EQ(t.encode("a<|im_end|>\n"), (Ids{64, 151645, 198}));
  EXPECT_EQ(t.encode("<|<|im_end|>"), (Ids{27, 91, 151645}));
  EXPECT_EQ(t.encode("<|im_end").size(), 4U);
  // They go before normalisation, which would join the last character to a mark that follows.
  EXPECT_EQ(t.encode("<|im_end|>\u0338").front(), 151645);
  EXPECT_EQ(t.decode(t.encode("<|im_end|>\u0338")), "<|im_end|>\u0338");
}

TEST(Tokenizer, AControlTokenInATextIsText) {
  const Tokenizer& t = tokenizer();
  const auto ids_of = [&](std::string_view text) {
    Ids ids;
    EXPECT_TRUE(t.append_text(text, 1000, ids));
    return ids;
  };
  for (const std::string name : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
    for (const std::string& text : {name, "a" + name + "\n", name + name, "<|" + name}) {
      const Ids ids = ids_of(text);
      EXPECT_TRUE(std::none_of(ids.begin(), ids.end(), [&](auto id) { return t.is_special(id); }))
          << text;
      EXPECT_EQ(t.decode(ids), text);
    }
  }
  // All else has the ids that it has anywhere.
  for (const Case& c : cases()) {
    if (c.text.find("<|") != std::string::npos) continue;
    EXPECT_EQ(ids_of(c.text), c.ids) << c.text;
  }
}

TEST(Tokenizer, StopsWhenATextHasTooManyTokens) {
  const Tokenizer& t = tokenizer();
  Ids ids;
  EXPECT_TRUE(t.append_text("1234", 4, ids));
  EXPECT_TRUE(t.append_text("", 4, ids));
  EXPECT_EQ(ids.size(), 4U);
  EXPECT_FALSE(t.append_text("5", 4, ids));
  ids.clear();
  EXPECT_FALSE(t.append_text(repeated("1 ", 100'000), 10, ids));
  EXPECT_LT(ids.size(), 20U);
  ids.clear();
  EXPECT_FALSE(t.append_text(std::string(1'000'000, 'a'), 5000, ids));  // 200 bytes a token
  EXPECT_TRUE(ids.empty());
}

TEST(Tokenizer, DecodesWithAndWithoutSpecialTokens) {
  const Ids ids{151644, 9707, 151645, 151935, -200};
  EXPECT_EQ(tokenizer().decode(ids), "<|im_start|>Hello<|im_end|>");
  EXPECT_EQ(tokenizer().decode(ids, false), "Hello");
  EXPECT_EQ(tokenizer().decode({}), "");
}

TEST(Tokenizer, DecodesBytesThatAreNotTextAsReplacementCharacters) {
  const Ids smile = tokenizer().encode("\U0001FAE0");
  ASSERT_GT(smile.size(), 1U);
  EXPECT_EQ(tokenizer().decode(std::span(smile).first(1)), "\uFFFD");
  EXPECT_EQ(tokenizer().decode(std::span(smile).last(1)), "\uFFFD");
}

TEST(Tokenizer, ReadsInvalidUtf8AsReplacementCharacters) {
  const Tokenizer& t = tokenizer();
  EXPECT_EQ(t.encode("a\xff"
                     "b"),
            t.encode("a\uFFFDb"));
  EXPECT_EQ(t.encode("caf\xc3"), t.encode("caf\uFFFD"));
  EXPECT_EQ(t.encode("\xc3<|im_end|>"), t.encode("\uFFFD<|im_end|>"));
  EXPECT_EQ(t.encode(std::string_view("\0a", 2)), (Ids{188, 64}));
}

TEST(Tokenizer, RefusesTextsBeyondItsLimit) {
  const std::string_view huge("", (std::size_t{1} << 30) + 1);  // never read
  EXPECT_THROW(tokenizer().encode(huge), Error);
}

// Takes well under a second each; with quadratic time anywhere, longer than the limit.
TEST(Tokenizer, LongInputsTakeNoQuadraticTime) {
  constexpr std::size_t kLong = 300'000;
  std::string random_letters;
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < 100'000; ++i) {
    state = state * 1664525U + 1013904223U;
    random_letters += static_cast<char>('a' + (state >> 24) % 26);
  }
  std::vector<std::string> texts{
      random_letters,
      std::string(1'000'000, ' '),
      std::string(kLong, ' ') + "x",
      std::string(kLong, '\n'),
      std::string(kLong, '<'),
      std::string(kLong, '\xff'),
      repeated(" \n a", kLong / 4),
      "e" + repeated("\u0323\u0301", kLong / 4),  // marks that normalisation has to sort
  };
  for (const std::string& text : texts) {
    const auto start = steady_clock::now();
    const Ids ids = tokenizer().encode(text);
    EXPECT_LT(duration<double>(steady_clock::now() - start).count(), 10.0) << text.substr(0, 8);
    EXPECT_EQ(tokenizer().decode(ids), to_nfc(text)) << text.substr(0, 8);
  }
}

TEST(Tokenizer, ReportsItsLoadingTime) {
  const auto start = steady_clock::now();
  EXPECT_EQ(Tokenizer::load(kFolder).size(), 151646);
  RecordProperty(
      "milliseconds",
      static_cast<int>(duration<double, std::milli>(steady_clock::now() - start).count()));
}

using Pieces = std::vector<std::string>;

TEST(PreSplit, FollowsEachAlternativeOfThePattern) {
  EXPECT_EQ(pieces("it's I'LL we'Re x'ſy"),
            (Pieces{"it", "'s", " I", "'LL", " we", "'Re", " x", "'ſ", "y"}));
  EXPECT_EQ(pieces("'sa 'x 'lx"), (Pieces{"'s", "a", " '", "x", " '", "lx"}));
  EXPECT_EQ(pieces("a1b 23"), (Pieces{"a", "1", "b", " ", "2", "3"}));
  EXPECT_EQ(pieces("\ta(b  (c"), (Pieces{"\ta", "(b", " ", " (", "c"}));
  EXPECT_EQ(pieces("!!\r\n\nx"), (Pieces{"!!\r\n\n", "x"}));
  EXPECT_EQ(pieces("a \n \n  b"), (Pieces{"a", " \n \n", " ", " b"}));
  EXPECT_EQ(pieces("a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(pieces("a   1"), (Pieces{"a", "  ", " ", "1"}));
  EXPECT_EQ(pieces("\u00a0\u00a0!"), (Pieces{"\u00a0", "\u00a0", "!"}));
}

// Where regular-expression engines disagree: \s is the property White_Space, no more and no less.
TEST(PreSplit, WhiteSpaceIsTheUnicodeProperty) {
  for (const char* space :
       {"\u0085", "\u1680", "\u2003", "\u2028", "\u2029", "\u3000", "\v", "\f"}) {
    EXPECT_EQ(pieces(std::string("!") + space + space), (Pieces{"!", std::string(space) + space}));
  }
  for (const char* other : {"\u180e", "\u200b", "\ufeff", "\x1c", "\x1f"}) {
    EXPECT_EQ(pieces(std::string("!") + other + " "), (Pieces{std::string("!") + other, " "}));
  }
}

}  // namespace
}  // namespace fvlm
