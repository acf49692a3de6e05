// The schemas of tests/data/schemas.json: answers drawn at random from what each allows are valid
// JSON and, by an independent validator where Python has one, valid for the schema.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/runtime/grammar/vocabulary.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json schemas() {
  return Json::parse(std::ifstream(fs::path(FVLM_SOURCE) / "tests/data/schemas.json"));
}

TEST(Schemas, DrawnAnswersAreValid) {
  const TemporaryFolder folder;
  std::ofstream answers(folder / "answers.jsonl");
  int ended = 0;
  const Json all = schemas();
  EXPECT_GE(all.size(), 200U);
  for (const Json& entry : all) {
    const Grammar grammar = Grammar::json_schema(entry["schema"].dump());
    TokenMasks masks(grammar.automaton(), demo_trie());
    for (std::uint32_t seed = 1; seed <= 5; ++seed) {
      const DrawnAnswer answer = draw_answer(masks, *demo_trie(), seed, 600);
      ASSERT_EQ(answer.problem, "") << entry["name"] << ": " << answer.text;
      if (!answer.ended) continue;
      ++ended;
      EXPECT_TRUE(grammar.matches(answer.text)) << entry["name"] << ": " << answer.text;
      ASSERT_TRUE(Json::accept(answer.text)) << entry["name"] << ": " << answer.text;
      answers << Json{{"name", entry["name"]}, {"schema", entry["schema"]}, {"answer", answer.text}}
              << '\n';
    }
  }
  EXPECT_GT(ended, 800);
  answers.close();
  const std::string python = std::getenv("FVLM_PYTHON") ? std::getenv("FVLM_PYTHON") : "python3";
  if (std::system((python + " -c 'import jsonschema' 2> /dev/null").c_str()) != 0) {
    GTEST_SKIP() << "Python's jsonschema is not installed: " << ended << " answers only parsed";
  }
  const std::string script = fs::path(FVLM_SOURCE) / "tests/runtime/grammar/validate.py";
  EXPECT_EQ(
      std::system((python + " " + script + " " + (folder / "answers.jsonl").string()).c_str()), 0);
}

}  // namespace
}  // namespace fvlm
