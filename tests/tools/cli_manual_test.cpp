// What is made of the table of flags beside --help: manual pages and completions of shells.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/shell.hpp"
#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

bool is_installed(const std::string& program) {
  return shell("command -v " + program).code == 0;
}

TEST(Manual, HasAPageForEachCommandWithItsFlags) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_program({"man-pages", "--output", (folder / "man1").string()}).code, 0);
  const std::string page = read_file(folder / "man1/fastvlm-describe.1");
  for (const char* part : {".TH FASTVLM\\-DESCRIBE 1", "\\fB\\-\\-output\\-dir\\fR \\fIDIR\\fR",
                           ".B fastvlm caption", "PICTURE..."}) {
    EXPECT_PRED2(contains, page, part);
  }
  EXPECT_EQ(read_file(folder / "man1/fastvlm-caption.1"), ".so man1/fastvlm-describe.1\n");
  EXPECT_PRED2(contains, read_file(folder / "man1/fastvlm.1"), "\\fBdescribe\\fR, \\fBcaption\\fR");
  if (!is_installed("groff")) GTEST_SKIP() << "groff is not installed";
  const auto checked =
      shell("cd '" + folder.path().string() +
            "' && for page in man1/*.1; do groff -man -ww -Tutf8 -z $page; done 2>&1");
  EXPECT_EQ(checked.output, "");
}

TEST(Completion, OfBashKnowsCommandsFlagsChoicesAndFiles) {
  if (!is_installed("bash")) GTEST_SKIP() << "bash is not installed";
  const TemporaryFolder folder;
  write_file(folder / "script", run_program({"completion", "bash"}).output);
  write_file(folder / "photo 1.jpg", "");
  fs::create_directory(folder / "photos");
  const auto complete = [&folder](const std::string& words) {
    return shell("cd '" + folder.path().string() + "' && bash -c 'source ./script; COMP_WORDS=(" +
                 words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _fastvlm; IFS=,; "
                 "echo \"${COMPREPLY[*]}\"'")
        .output;
  };
  EXPECT_EQ(complete("fastvlm desc"), "describe\n");
  EXPECT_EQ(complete("fastvlm caption --output"), "--output-dir\n");
  EXPECT_EQ(complete("fastvlm describe --dtype int"), "int8,int4\n");
  EXPECT_EQ(complete("fastvlm describe --dtype = int8"), "int8\n");
  EXPECT_EQ(complete("fastvlm describe --model-path ph"), "photos\n");
  EXPECT_EQ(complete("fastvlm describe --image-file ph"), "photo 1.jpg,photos\n");
  EXPECT_EQ(complete("fastvlm describe ph"), "photo 1.jpg,photos\n");
  EXPECT_EQ(complete("fastvlm help inf"), "info\n");
  EXPECT_EQ(complete("fastvlm describe --prompt ph"), "\n");
}

TEST(Completion, OfOtherShellsIsWhatTheyUnderstand) {
  const TemporaryFolder folder;
  for (const char* name : {"zsh", "fish"}) {
    const Exit script = run_program({"completion", name});
    EXPECT_EQ(script.code, 0);
    EXPECT_PRED2(contains, script.output, "output-dir");
    if (!is_installed(name)) continue;
    write_file(folder / name, script.output);
    EXPECT_EQ(shell(std::string(name) + " -n '" + (folder / name).string() + "' 2>&1").output, "");
  }
  if (is_installed("fish")) {
    EXPECT_PRED2(contains,
                 shell("fish -c 'source " + (folder / "fish").string() +
                       "; complete -C \"fastvlm describe --dtype i\"'")
                     .output,
                 "int8");
  }
  expect_refusal(run_program({"completion", "csh"}), {"csh", "bash"});
}

}  // namespace
}  // namespace fvlm
