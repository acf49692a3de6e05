// UTF-8 decoding, the streaming decoder and normalisation form C.
#include "runtime/tokenizer/unicode.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tokenizer/utf8_stream.hpp"

namespace fvlm {
namespace {

// Input bytes, and the text they are read as.
const std::vector<std::pair<std::string, std::string>> kStreams{
    {"", ""},
    {"plain", "plain"},
    {"\u00e9\u20ac\U0001F600", "\u00e9\u20ac\U0001F600"},
    {"\U0010FFFF\uD7FF\uE000\u0080\u0800\U00010000",
     "\U0010FFFF\uD7FF\uE000\u0080\u0800\U00010000"},
    {"\x80", "\uFFFD"},
    {"\xc3(", "\uFFFD("},
    {"\xe2\x82(", "\uFFFD("},
    {"\xf0\x9f\x98(", "\uFFFD("},
    {"\xe2\x82\xe2\x82\xac", "\uFFFD\u20ac"},
    {"\xc0\xaf", "\uFFFD\uFFFD"},                      // overlong
    {"\xe0\x80\xaf", "\uFFFD\uFFFD\uFFFD"},            // overlong
    {"\xf0\x80\x80\xaf", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // overlong
    {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},            // surrogate
    {"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // above U+10FFFF
    {"\xf5\xfe\xff", "\uFFFD\uFFFD\uFFFD"},
    {"a\xf0\x9f\x98", "a\uFFFD"},  // ends inside a character
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\x41"},
};

bool is_whole(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    if (character.status != Utf8Status::kValid) return false;
    text.remove_prefix(character.length);
  }
  return true;
}

TEST(Utf8Stream, EveryCutInThreeGivesTheSameText) {
  for (const auto& [bytes, text] : kStreams) {
    for (std::size_t first = 0; first <= bytes.size(); ++first) {
      for (std::size_t second = first; second <= bytes.size(); ++second) {
        Utf8Stream stream;
        std::string joined;
        for (const std::string& part :
             {bytes.substr(0, first), bytes.substr(first, second - first), bytes.substr(second)}) {
          const std::string piece = stream.push(part);
          EXPECT_TRUE(is_whole(piece));
          joined += piece;
        }
        EXPECT_EQ(joined + stream.finish(), text);
      }
    }
  }
}

TEST(Utf8Stream, HoldsBackOnlyTheIncompleteCharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xf0\x9f"), "a");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80!"), "\U0001F600!");
  EXPECT_EQ(stream.push("\xe2"), "");
  EXPECT_EQ(stream.push("x"), "\uFFFDx");
}

TEST(Utf8Stream, CanBeUsedAnewAfterItsEnd) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xe2\x82"), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.push("\xac"), "\uFFFD");
}

// The expected forms follow from the Unicode Character Database.
TEST(Nfc, ComposesDecomposesAndOrders) {
  EXPECT_EQ(to_nfc("plain \n\x7f"), "plain \n\x7f");
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("A\u030a"), "\u00c5");
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");                // a singleton
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");          // excluded from composition
  EXPECT_EQ(to_nfc("\ufb01 \u00bd"), "\ufb01 \u00bd");  // compatibility forms stay
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");  // canonical order
  EXPECT_EQ(to_nfc("e\u0302\u0323"), "\u1ec7");         // order, then composition
  EXPECT_EQ(to_nfc("e\u0334\u0302"), "\u00ea\u0334");   // over a mark of another class
  EXPECT_EQ(to_nfc("e\u0305\u0302"), "e\u0305\u0302");  // blocked by one of the same class
  EXPECT_EQ(to_nfc("\u0301e"), "\u0301e");              // a mark without a base
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a8"), "\uac01");    // Hangul
  EXPECT_EQ(to_nfc("\uac00\u11a8"), "\uac01");
  EXPECT_EQ(to_nfc("\uac00\u11a7"), "\uac00\u11a7");  // not a trailing consonant
  EXPECT_EQ(to_nfc("\u11a7\u11a7e\u0301"), "\u11a7\u11a7\u00e9");
  EXPECT_EQ(to_nfc("\xc3\u0301"), "\uFFFD\u0301");
}

TEST(CharacterClass, FollowsTheGeneralCategory) {
  for (const char32_t letter : {U'a', U'Ä', U'ǅ', U'ʰ', U'ª', U'中', U'한', U'\U0001D400'}) {
    EXPECT_EQ(class_of(letter), CharacterClass::kLetter) << static_cast<std::uint32_t>(letter);
  }
  for (const char32_t number : {U'0', U'٣', U'Ⅻ', U'½', U'²'}) {
    EXPECT_EQ(class_of(number), CharacterClass::kNumber) << static_cast<std::uint32_t>(number);
  }
  for (const char32_t other : {U'_', U'\u0301', U'\u200b', U'\0', U'\uFFFD', U'\U0010FFFF', U'😀'}) {
    EXPECT_EQ(class_of(other), CharacterClass::kOther) << static_cast<std::uint32_t>(other);
  }
}

}  // namespace
}  // namespace fvlm
