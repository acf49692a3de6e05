// fastvlm convert: what it writes is a checkpoint like any other, and what it refuses.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/cli_checkpoint.hpp"
#include "tests/cli_program.hpp"

namespace fvlm {
namespace {

class CliConvert : public ::testing::Test {
 protected:
  std::string output() const { return (folder_.path() / "out").string(); }
  Exit convert(const Arguments& more = {}) const {
    return run_program(
        with({"convert", "--input", kSource, "--output", output(), "--vision-dtype", "f32"}, more));
  }
  static Exit describe(const std::string& model, const Arguments& more = {}) {
    return run_program(with({"describe", "--model-path", model, "--image-file",
                             (kGoldenTiny / "images" / "small.png").string(), "--temperature", "0",
                             "--max_new_tokens", "12"},
                            more));
  }

  const std::string kSource = (kGoldenTiny / "checkpoint").string();

 private:
  TemporaryFolder folder_;
};

TEST_F(CliConvert, QuantisedAnswersAsWhenQuantisedWhileLoading) {
  for (const std::string type : {"int8", "int4"}) {
    const Exit exit = convert({"--dtype", type, "--verify"});
    ASSERT_EQ(exit.code, 0) << exit.errors;
    EXPECT_NE(exit.output.find("first logits"), std::string::npos) << exit.output;
    const Exit loaded = describe(kSource, {"--dtype", type});
    ASSERT_EQ(loaded.code, 0) << loaded.errors;
    EXPECT_FALSE(loaded.output.empty());
    EXPECT_EQ(describe(output()).output, loaded.output);
    const Exit info = run_program({"info", "--model-path", output()});
    EXPECT_NE(info.output.find(type + " in groups of 64"), std::string::npos) << info.output;
    EXPECT_NE(info.output.find("on average"), std::string::npos) << info.output;
    std::filesystem::remove_all(output());
  }
}

TEST_F(CliConvert, LeavesWeightsThatAreThereAlone) {
  ASSERT_EQ(convert().code, 0);
  expect_refusal(convert(), {"model.safetensors", "is there already"});
}

TEST_F(CliConvert, NamesWhatIsWrong) {
  expect_refusal(convert({"--dtype", "int5"}), {"--dtype", "int5"});
  expect_refusal(convert({"--dtype", "int4", "--group", "48"}), {"--group", "48"});
  expect_refusal(run_program({"convert", "--input", "/nowhere", "--output", output()}),
                 {"/nowhere", "no such folder"});
  expect_refusal(run_program({"convert", "--input", kSource, "--output", "/proc/new"}),
                 {"/proc/new"});
}

}  // namespace
}  // namespace fvlm
