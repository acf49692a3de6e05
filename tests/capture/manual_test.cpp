// What is made of the table of flags beside --help: the manual page and completions of shells.
#include <filesystem>
#include <string>

#include "tests/capture/client_fixture.hpp"
#include "tests/support/shell.hpp"

namespace fvlm::capture {
namespace {

bool is_installed(const std::string& program) {
  return shell("command -v " + program).code == 0;
}

class ManualTest : public ClientTest {
 protected:
  std::string printed(const std::string& flags) const {
    EXPECT_EQ(status_of_run(flags), 0) << output();
    return output();
  }
};

TEST_F(ManualTest, HasEveryFlag) {
  const std::string page = printed("--man-page");
  for (const char* part :
       {".TH FASTVLM\\-CAMERA 1 ", ".B fastvlm\\-camera\n", "\\fB\\-\\-config\\fR \\fIFILE\\fR",
        "\\fB\\-\\-wait\\-for\\-camera\\fR\n", "rpicam\\-vid", ".SH EXIT STATUS",
        "Print the version and exit"}) {
    EXPECT_TRUE(contains(page, part)) << part;
  }
  if (!is_installed("groff")) GTEST_SKIP() << "groff is not installed";
  write_file(folder / "page.1", page);
  EXPECT_EQ(shell("groff -man -ww -Tutf8 -z " + (folder / "page.1").string()).output, "");
}

TEST_F(ManualTest, BashCompletesFlagsChoicesAndFiles) {
  if (!is_installed("bash")) GTEST_SKIP() << "bash is not installed";
  write_file(folder / "script", printed("--completion bash"));
  write_file(folder / "key file", "");
  std::filesystem::create_directory(folder / "keys");
  const auto complete = [this](const std::string& words) {
    return shell("cd '" + folder.path().string() +
                 "' && bash -c 'source ./script; COMP_WORDS=(fastvlm-camera " + words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _fastvlm_camera; IFS=,; "
                 "echo \"${COMPREPLY[*]}\"'")
        .output;
  };
  EXPECT_EQ(complete("--max-"), "--max-quality,--max-new-tokens\n");
  EXPECT_EQ(complete("--list --rotate 1"), "180\n");
  EXPECT_EQ(complete("--flip = h"), "horizontal\n");
  EXPECT_EQ(complete("--log-folder k"), "keys\n");
  EXPECT_EQ(complete("--api-key-file k"), "key file,keys\n");
  EXPECT_EQ(complete("--prompt k"), "\n");
}

TEST_F(ManualTest, OtherShellsUnderstandTheirs) {
  for (const char* name : {"zsh", "fish"}) {
    const std::string script = printed(std::string("--completion ") + name);
    EXPECT_TRUE(contains(script, "page-key-file"));
    if (!is_installed(name)) continue;
    write_file(folder / name, script);
    EXPECT_EQ(shell(std::string(name) + " -n '" + (folder / name).string() + "'").output, "");
  }
  if (is_installed("fish")) {
    EXPECT_TRUE(contains(shell("fish -c 'source " + (folder / "fish").string() +
                               "; complete -C \"fastvlm-camera --format y\"'")
                             .output,
                         "yuyv"));
  }
  EXPECT_EQ(status_of_run("--completion csh"), 2);
}

}  // namespace
}  // namespace fvlm::capture
