// From conversations to ids: the qwen_2 template with Qwen2's own vocabulary, id by id, and images
// in their places.
#include "runtime/prompt.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "fvlm/core/error.hpp"

namespace fvlm {
namespace {

using Ids = std::vector<std::int32_t>;
using Role = Turn::Role;

const Tokenizer& tokenizer() {
  static const Tokenizer loaded =
      Tokenizer::load(std::filesystem::path(FVLM_TEST_DATA) / "tokenizer");
  return loaded;
}

Ids prompt(const std::vector<Turn>& conversation) {
  return make_prompt(tokenizer(), conversation);
}

// The ids of text pieces, with an image between each two.
Ids pieces(const std::vector<std::string>& texts) {
  Ids ids;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) ids.push_back(kImageToken);
    const Ids more = tokenizer().encode(texts[i]);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

const std::string kSystem = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
const std::string kUser = "<|im_start|>user\n";
const std::string kAssistant = "<|im_start|>assistant\n";
const std::string kEnd = "<|im_end|>\n";

// The message of the Error that a conversation is refused with.
std::string refusal(const std::vector<Turn>& conversation) {
  try {
    prompt(conversation);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Prompt, OneImageAndAQuestionIdById) {
  const Ids expected = {
      151644, 8948,  198, 2610,        525, 264,   10950, 17847, 13, 151645, 198,  // system
      151644, 872,   198, kImageToken, 198, 74785, 279,   2168,  13, 151645, 198,  // user
      151644, 77091, 198};  // the assistant's turn begins
  EXPECT_EQ(prompt({{Role::kUser, "Describe the image.", {Picture{}}}}), expected);
}

TEST(Prompt, IsTheTemplateCutAtItsImages) {
  EXPECT_EQ(prompt({{Role::kUser, "Hi", {}}}),
            pieces({kSystem + kUser + "Hi" + kEnd + kAssistant}));
  EXPECT_EQ(prompt({{Role::kUser, "", {}}}), pieces({kSystem + kUser + kEnd + kAssistant}));
  EXPECT_EQ(prompt({{Role::kUser, "Which is larger?", {Picture{}, Picture{}}}}),
            pieces({kSystem + kUser, "\n", "\nWhich is larger?" + kEnd + kAssistant}));
}

TEST(Prompt, TheTextMaySayWhereImagesGo) {
  const std::vector<Picture> two(2);
  EXPECT_EQ(prompt({{Role::kUser, "Is <image> left of<image>?", two}}),
            pieces({kSystem + kUser + "Is ", " left of", "?" + kEnd + kAssistant}));
  EXPECT_EQ(prompt({{Role::kUser, "<image><image>", two}}),
            pieces({kSystem + kUser, "", kEnd + kAssistant}));
  EXPECT_EQ(prompt({{Role::kUser, "<image>\n<image>\nCompare", two}}),
            prompt({{Role::kUser, "Compare", two}}));
  EXPECT_EQ(prompt({{Role::kUser, "<image", {}}}),
            pieces({kSystem + kUser + "<image" + kEnd + kAssistant}));
}

TEST(Prompt, PiecesBesideAnImageAreTokenisedApart) {
  // "hello" is one token; the image must not let its halves meet.
  ASSERT_EQ(tokenizer().encode("hello").size(), 1U);
  EXPECT_EQ(prompt({{Role::kUser, "hel<image>lo", {Picture{}}}}),
            pieces({kSystem + kUser + "hel", "lo" + kEnd + kAssistant}));
}

TEST(Prompt, TurnsFollowEachOther) {
  EXPECT_EQ(
      prompt({{Role::kUser, "What is this?", {Picture{}}},
              {Role::kAssistant, "A cat.", {}},
              {Role::kUser, "And this?", {Picture{}}}}),
      pieces({kSystem + kUser, "\nWhat is this?" + kEnd + kAssistant + "A cat." + kEnd + kUser,
              "\nAnd this?" + kEnd + kAssistant}));
}

TEST(Prompt, ASystemTurnReplacesTheUsualOne) {
  EXPECT_EQ(prompt({{Role::kSystem, "Be brief.", {}}, {Role::kUser, "Hi", {}}}),
            pieces({"<|im_start|>system\nBe brief." + kEnd + kUser + "Hi" + kEnd + kAssistant}));
}

TEST(Prompt, ALaterTurnBeginsWithTheEarlierPrompt) {
  // What the prefix cache of the engine lives from.
  const Ids first = prompt({{Role::kUser, "What is this?", {Picture{}}}});
  const Ids second = prompt({{Role::kUser, "What is this?", {Picture{}}},
                             {Role::kAssistant, "A cat.", {}},
                             {Role::kUser, "Sure?", {}}});
  ASSERT_GT(second.size(), first.size());
  EXPECT_TRUE(std::equal(first.begin(), first.end(), second.begin()));
}

TEST(Prompt, RefusesImagesThatDoNotMatchTheText) {
  EXPECT_EQ(refusal({{Role::kUser, "<image>", {}}}),
            "a turn has 1 \"<image>\" in its text but 0 images");
  EXPECT_NE(refusal({{Role::kUser, "<image>", std::vector<Picture>(2)}}), "");
  EXPECT_NE(refusal({{Role::kUser, "<image><image>", {Picture{}}}}), "");
}

TEST(Prompt, AnAnswerThatSpeaksOfImagesIsText) {
  const auto ids = prompt({{Role::kUser, "Which tag?", {}},
                           {Role::kAssistant, "It is <image>.", {}},
                           {Role::kUser, "And this?", {Picture{}}}});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kImageToken), 1);
}

TEST(Prompt, RefusesAConversationThatDoesNotAskAnything) {
  EXPECT_NE(refusal({}).find("user"), std::string::npos);
  EXPECT_NE(refusal({{Role::kSystem, "Be brief.", {}}}), "");
  EXPECT_NE(refusal({{Role::kUser, "Hi", {}}, {Role::kAssistant, "Hello", {}}}), "");
}

}  // namespace
}  // namespace fvlm
