// What the program says of command lines that cannot work: which flag or file, what is wrong with
// it, and what would be right; in our words, not in those of a library.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

const std::string kTinyModel = (kGoldenTiny / "checkpoint").string();
const std::string kSmallPicture = (kGoldenTiny / "images" / "small.png").string();

class Messages : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Exit trace(const std::string& output, const Arguments& more = {}) const {
    return run_program(with({"trace", "--model-path", kTinyModel, "--image-file", kSmallPicture,
                             "--prompt-ids", "1,-200", "--output", output},
                            more));
  }
  Exit evaluate(const std::string& cases, const Arguments& more = {}) const {
    return run_program(with({"evaluate", "--model-path", kTinyModel, "--images",
                             kGoldenTiny.string(), "--cases", cases},
                            more));
  }

  TemporaryFolder folder_;
};

TEST_F(Messages, NumbersSayWhatTheyMayBe) {
  for (const char* wrong : {"0", "-1", "x", "", "1e3", "99999999999999999999"}) {
    expect_refusal(run_program({"info", "--model-path", kTinyModel, "--depth", wrong}),
                   {"--depth: \"" + std::string(wrong) + "\" is not a whole number"});
  }
  expect_refusal(trace(path("t"), {"--max_new_tokens", "0"}),
                 {"--max_new_tokens", "whole number above 0"});
  expect_refusal(evaluate("c", {"--at-least", "-1"}), {"--at-least", "of 0 or more"});
  expect_refusal(evaluate("c", {"--max_new_tokens", "-3"}),
                 {"--max_new_tokens", "whole number above 0"});
  for (const char* wrong : {"-1", "99999999999999999999999", "x"}) {
    expect_refusal(
        run_program({"make-checkpoint", "--size", "tiny", "--output", path("m"), "--seed", wrong}),
        {"--seed", "from 0 to", wrong});
  }
  expect_refusal(run_program({"describe", "--model-path", "M", "--temperature", "warm", "a.jpg"}),
                 {"--temperature: \"warm\" is not a number"});
}

TEST_F(Messages, FlagsThatAreIncompleteOrDoNotGoTogether) {
  expect_refusal(run_program({"convert", "--input", kTinyModel, "--output"}),
                 {"--output needs a value: --output DIR"});
  expect_refusal(run_program({"describe", "--model-path", "M", "--image-file", "a.jpg", "b.jpg"}),
                 {"PICTURE and --image-file exclude each other"});
  expect_refusal(run_program({"describe", "--model-path", kTinyModel, "--force", kSmallPicture}),
                 {"--force is for answers in --output-dir"});
  expect_refusal(run_program({"convert", "--input", kTinyModel, "--output", ""}),
                 {"--output is empty, expected the name of a folder"});
  expect_refusal(run_program({"info", "--model-path", ""}), {"--model-path is empty"});
  expect_refusal(trace(""), {"--output is empty, expected the name of a file"});
}

TEST_F(Messages, AFolderInTheWrongPlaceIsUnderstood) {
  expect_refusal(run_program({"describe", kTinyModel, kSmallPicture}),
                 {"--model-path is required: did you mean --model-path " + kTinyModel + "? Run"});
  expect_refusal(run_program({"help", "descibe"}), {"did you mean describe? fastvlm help lists"});
  const Exit alone = run_program({"describe", kSmallPicture});
  expect_refusal(alone, {"--model-path is required; run"});
  expect_refusal(run_program({"tokenize", kTinyModel}),
                 {"did you mean --tokenizer " + kTinyModel + "?"});
}

TEST_F(Messages, WhatCannotBeWrittenIsSaidBeforeTheWork) {
  expect_refusal(trace(path("none/t")), {"there is no folder " + path("none") + "; make it first"});
  expect_refusal(trace("/dev/null", {"--force"}), {"/dev/null: is a device, expected a file"});
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  write_file(path("cases"), R"({"image":"i","prompt":"p","answer":"a","kind":"k"})");
  expect_refusal(evaluate(path("cases"), {"--answers", path("none/a")}),
                 {"there is no folder " + path("none")});
}

TEST_F(Messages, WhatCannotBeReadIsNamedWithTheReason) {
  expect_refusal(evaluate(path("none")), {path("none"), "No such file"});
  expect_refusal(evaluate(folder_.path().string()), {"is a folder, expected a file of cases"});
  expect_refusal(run_program({"info", "--model-path", folder_.path().string()}),
                 {"no checkpoint: there is no config.json in this folder"});
  expect_refusal(run_program({"tokenize", "--tokenizer", path("none")}), {"no such folder"});
  expect_refusal(run_program({"make-checkpoint", "--size", "tiny", "--output", path("m"),
                              "--tokenizer", path("none"), "--quiet"}),
                 {"vocab.json: cannot be read: No such file", "expected a folder with vocab.json"});
  write_file(path("schema.json"), "{");
  const Exit schema = run_program({"describe", "--model-path", kTinyModel, "--json-schema",
                                   path("schema.json"), kSmallPicture});
  expect_refusal(schema, {"schema.json", "not valid JSON (near byte 2)"});
  EXPECT_EQ(schema.errors.find("exception"), std::string::npos) << schema.errors;
}

TEST_F(Messages, ABaseIsRefusedWhereItWouldTakeThePlaceOfTheModel) {
  const Exit exit = run_program({"info", "--model-path", kTinyModel, "--model-base", kTinyModel});
  expect_refusal(exit, {kTinyModel, "no LoRA adapter", "--model-base"});
}

}  // namespace
}  // namespace fvlm
