// --quiet and --verbose, which mean the same in every command: results and errors alone; what is
// loaded and chosen, and what it takes. Neither changes standard output.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

const std::string kModelFolder = (kGoldenTiny / "checkpoint").string();

class Verbosity : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // Expects silence from --quiet and each of `details` from --verbose; returns standard output.
  static std::string expect_details(const Arguments& arguments,
                                    const std::vector<std::string>& details,
                                    const std::string& input = "") {
    const Exit quiet = run_program(with(arguments, {"--quiet"}), input);
    EXPECT_EQ(quiet.code, 0) << quiet.errors;
    EXPECT_EQ(quiet.errors, "") << arguments.front();
    const Exit verbose = run_program(with(arguments, {"--verbose"}), input);
    EXPECT_EQ(verbose.code, 0) << verbose.errors;
    for (const std::string& detail : details) {
      EXPECT_NE(verbose.errors.find("fastvlm: " + detail), std::string::npos)
          << arguments.front() << " says no \"" << detail << "\" in: " << verbose.errors;
    }
    return quiet.output == verbose.output ? quiet.output : "";
  }

  TemporaryFolder folder_;
};

TEST_F(Verbosity, OfCommandsThatAnswer) {
  const Arguments engine = {"--model-path", kModelFolder, "--threads", "1"};
  const Arguments short_answer = {"--temperature", "0", "--max_new_tokens", "2"};
  EXPECT_NE(expect_details(with(with({"describe", "--image-file", kImage}, engine), short_answer),
                           {"loaded " + kModelFolder, "preprocess "}),
            "");
  EXPECT_NE(expect_details(with(with({"chat"}, engine), short_answer),
                           {"loaded " + kModelFolder, "preprocess "}, "Hello\n"),
            "");
  write_file(path("cases"), R"({"image":"small.png","prompt":"p","answer":"a","kind":"k"})");
  EXPECT_NE(expect_details(with({"evaluate", "--images", (kGoldenTiny / "images").string(),
                                 "--cases", path("cases"), "--max_new_tokens", "2"},
                                engine),
                           {"loaded " + kModelFolder, "small.png: \"p\": "}),
            "");
}

TEST_F(Verbosity, OfCommandsThatMeasureAndShow) {
  EXPECT_NE(expect_details({"info", "--model-path", kModelFolder}, {"read the headers of "}), "");
  EXPECT_EQ(expect_details({"tokenize", "--tokenizer", kModelFolder},
                           {"loaded the tokenizer of " + kModelFolder,
                            "tokenized 1 texts of 1 bytes: 1 tokens in "},
                           "a"),
            run_program({"tokenize", "--tokenizer", kModelFolder}, "a").output);
  // Once: it measures the machine for seconds.
  const Exit bench = run_program(
      {"bench", "--model-path", kModelFolder, "--runs", "1", "--device", "cpu", "--verbose"});
  for (const char* detail : {"measured the roofline", "loaded ", "warm-up: ", "run 1: "}) {
    EXPECT_PRED2(contains, bench.errors, std::string("fastvlm: ") + detail);
  }
}

TEST_F(Verbosity, OfCommandsThatWrite) {
  const auto wrote = [this](const char* name) { return "wrote " + path(name); };
  expect_details({"make-checkpoint", "--size", "tiny", "--output", path("m"), "--force"},
                 {wrote("m")});
  expect_details({"convert", "--input", kModelFolder, "--output", path("c"), "--force"},
                 {wrote("c")});
  expect_details({"trace", "--model-path", kModelFolder, "--image-file", kImage, "--prompt-ids",
                  "1,-200", "--output", path("t"), "--force"},
                 {"loaded " + kModelFolder + " and computed ", wrote("t")});
  expect_details({"man-pages", "--output", path("p")}, {wrote("p")});
  write_file(path("file"), "");
  expect_refusal(run_program({"man-pages", "--output", path("file")}),
                 {path("file") + ": the folder cannot be made: "});
}

}  // namespace
}  // namespace fvlm
