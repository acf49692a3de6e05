// Answers drawn at random from what each schema of tests/data/schemas.json allows.
#include <gtest/gtest.h>

#include "tests/runtime/grammar/validation.hpp"
#include "tests/runtime/grammar/vocabulary.hpp"

namespace fvlm {
namespace {

TEST(Schemas, DrawnAnswersAreValid) {
  const std::vector<SchemaEntry> all = schema_entries();
  EXPECT_GE(all.size(), 200U);
  Validation validation;
  for (const SchemaEntry& entry : all) {
    const Grammar grammar = Grammar::json_schema(entry.schema);
    TokenMasks masks(grammar.automaton(), demo_trie());
    for (std::uint32_t seed = 1; seed <= 5; ++seed) {
      const DrawnAnswer answer = draw_answer(masks, *demo_trie(), seed, 600);
      ASSERT_EQ(answer.problem, "") << entry.name << ": " << answer.text;
      if (!answer.ended) continue;
      EXPECT_TRUE(grammar.matches(answer.text)) << entry.name << ": " << answer.text;
      validation.add(entry, answer.text);
    }
  }
  EXPECT_GT(validation.count(), 4 * all.size());
  validation.check();
}

}  // namespace
}  // namespace fvlm
