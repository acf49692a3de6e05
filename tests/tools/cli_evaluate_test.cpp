// fastvlm evaluate: scores by kind, and what it refuses. The demo model has to know its scenes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

class Evaluate : public ::testing::Test {
 protected:
  std::string cases() const { return (folder_.path() / "cases.jsonl").string(); }
  std::string answers() const { return (folder_.path() / "answers.jsonl").string(); }
  Exit evaluate(const std::string& lines, const Arguments& more = {}) const {
    write_file(cases(), lines);
    return run_program(with(
        {"evaluate", "--model-path", (kGoldenTiny / "checkpoint").string(), "--cases", cases(),
         "--images", (kGoldenTiny / "images").string(), "--max_new_tokens", "4", "--threads", "1"},
        more));
  }

 private:
  TemporaryFolder folder_;
};

std::string line(const std::string& kind, const std::string& answer) {
  return json{{"image", "small.png"}, {"prompt", "?"}, {"answer", answer}, {"kind", kind}}.dump() +
         "\n";
}

TEST_F(Evaluate, CountsWholeAnswersByKind) {
  const Exit described = run_program(
      {"describe", "--model-path", (kGoldenTiny / "checkpoint").string(), "--image-file", kImage,
       "--prompt", "?", "--temperature", "0", "--max_new_tokens", "4", "--threads", "1", "--json"});
  const std::string answer = json::parse(described.output)["text"];
  const Exit exit =
      evaluate(line("a", answer) + line("a", answer + "x") + line("b", answer), {"--json"});
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const json report = json::parse(exit.output);
  EXPECT_EQ(report["kinds"]["a"], (json{{"right", 1}, {"asked", 2}, {"percent", 50.0}}));
  EXPECT_EQ(report["kinds"]["b"], (json{{"right", 1}, {"asked", 1}, {"percent", 100.0}}));
  EXPECT_EQ(report["all"]["right"], 2);
}

TEST_F(Evaluate, FailsBelowTheScoreThatWasAskedFor) {
  const std::string lines = line("a", "no such answer") + line("b", "nor this");
  EXPECT_EQ(evaluate(lines, {"--at-least", "0"}).code, 0);
  const Exit exit = evaluate(lines, {"--at-least", "1"});
  EXPECT_EQ(exit.code, 1);
  EXPECT_NE(exit.output.find("0 of      2"), std::string::npos) << exit.output;
  EXPECT_EQ(exit.messages(), "fastvlm: 0 of 2 answers are right, fewer than --at-least 1\n");
}

TEST_F(Evaluate, WritesTheAnswersItGot) {
  const Exit exit = evaluate(line("a", "one") + line("b", "two"), {"--answers", answers()});
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const std::string written = read_file(answers());
  const json first = json::parse(written.substr(0, written.find('\n')));
  EXPECT_EQ(first["answer"], "one");
  EXPECT_TRUE(first.contains("got"));
  expect_refusal(evaluate(line("a", "one"), {"--answers", answers()}),
                 {answers(), "is there already", "--force"});
  EXPECT_EQ(read_file(answers()), written);
  EXPECT_EQ(evaluate(line("a", "new"), {"--answers", answers(), "--force"}).code, 0);
  EXPECT_PRED2(contains, read_file(answers()), "\"new\"");
}

TEST_F(Evaluate, NamesWhatIsWrong) {
  expect_refusal(evaluate(line("a", "b") + "{\"image\": \"small.png\"}\n"),
                 {"cases.jsonl", "line 2", "\"prompt\""});
  expect_refusal(evaluate("[]\n"), {"cases.jsonl", "line 1"});
  expect_refusal(evaluate(""), {"cases.jsonl", "no cases"});
  expect_refusal(evaluate(R"({"image":"none.png","prompt":"?","answer":"","kind":""})"),
                 {"none.png"});
  expect_refusal(evaluate(line("a", "b"), {"--answers", "/none/answers.jsonl"}), {"/none"});
  expect_refusal(run_program({"evaluate", "--model-path", "/nowhere", "--images", "/none",
                              "--cases", cases()}),
                 {"/none: no such folder"});
}

// What README.md shows and demo.sh asks for, with matrix units and without.
TEST(DemoModel, ScoresWhatTheReadmeSays) {
  const std::string images = FVLM_SOURCE "/tools/demo/images";
  for (const char* isa : {"AMX", "AVX2"}) {
    ::setenv("FASTVLM_MAX_ISA", isa, 1);
    const Exit exit =
        run_program({"evaluate", "--model-path", FVLM_SOURCE "/tools/demo/model", "--cases",
                     images + "/cases.jsonl", "--images", images, "--at-least", "92"});
    EXPECT_EQ(exit.code, 0) << isa << ": " << exit.output << exit.errors;
  }
  ::unsetenv("FASTVLM_MAX_ISA");
}

TEST(DemoModel, KnowsScenesItNeverSaw) {
  const std::filesystem::path scenes = std::filesystem::path(FVLM_TEST_DATA) / "scenes";
  const Exit exit =
      run_program({"evaluate", "--model-path", FVLM_SOURCE "/tools/demo/model", "--cases",
                   (scenes / "cases.jsonl").string(), "--images", scenes.string(), "--json"});
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const json all = json::parse(exit.output)["all"];
  EXPECT_GE(all["asked"], 200);
  EXPECT_GE(all["percent"], 95) << exit.output;
}

}  // namespace
}  // namespace fvlm
