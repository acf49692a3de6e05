// Where the tokens and images of a prompt stand in the decoder's input.
#include "runtime/engine/prompt_layout.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "runtime/engine/prompt.hpp"

namespace fvlm {
namespace {

TEST(PromptSpans, JoinTokensAndGiveImagesTheirPositions) {
  const auto spans =
      prompt_spans(std::vector<std::int32_t>{5, 6, kImageToken, 7, kImageToken, kImageToken}, 16);
  const std::vector<std::vector<std::int64_t>> expected = {// first id, image, position, rows
                                                           {0, -1, 0, 2},
                                                           {2, 0, 2, 16},
                                                           {3, -1, 18, 1},
                                                           {4, 1, 19, 16},
                                                           {5, 2, 35, 16}};
  ASSERT_EQ(spans.size(), expected.size());
  for (std::size_t i = 0; i < spans.size(); ++i) {
    EXPECT_EQ((std::vector{spans[i].first_id, spans[i].image, spans[i].position, spans[i].rows}),
              expected[i]);
  }
  EXPECT_EQ(spans.back().end(), 51);
  EXPECT_TRUE(prompt_spans({}, 16).empty());
}

}  // namespace
}  // namespace fvlm
