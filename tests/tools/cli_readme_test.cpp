// What README shows of the demo model's commands is what they print.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/shell.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

struct Shown {
  std::string command;
  std::string output;
};

// Of a document's code, which stands behind four spaces: lines that begin with "$ ", of several
// parts if they end with a backslash, and the lines that follow them, without comments.
std::vector<Shown> shown_commands(const std::string& document) {
  std::vector<Shown> all;
  bool in_code = false;
  std::istringstream lines(document);
  for (std::string line; std::getline(lines, line);) {
    const bool is_code = line.starts_with("    ");
    line.erase(0, line.find_first_not_of(' '));
    if (is_code && line.starts_with("$ ")) {
      all.push_back({line.substr(2), ""});
    } else if (is_code && in_code && all.back().command.ends_with('\\')) {
      all.back().command.pop_back();
      all.back().command += line;
    } else if (is_code && in_code) {
      line.erase(line.find("  #") == std::string::npos ? line.size() : line.find("  #"));
      line.erase(line.find_last_not_of(" ") + 1);
      all.back().output += line + "\n";
    }
    in_code = is_code && !all.empty() && (in_code || line.starts_with("$ "));
  }
  return all;
}

TEST(Readme, ShowsWhatTheDemoModelSays) {
  const std::filesystem::path top = FVLM_SOURCE;
  const std::string here = "cd '" + top.string() + "' && PATH='" +
                           std::filesystem::path(FVLM_PROGRAM).parent_path().string() +
                           "':$PATH && ";
  for (const char* readme : {"README.md", "README.zh.md"}) {
    int tried = 0;
    for (const Shown& shown : shown_commands(read_file(top / readme))) {
      const bool describes = shown.command.starts_with("fastvlm describe ");
      const bool tokenizes = shown.command.find("| fastvlm tokenize ") != std::string::npos;
      if (!describes && !tokenizes) continue;  // tables of scores and times are the machine's
      const auto exit = shell(here + shown.command + (describes ? " --temperature 0 --quiet" : ""));
      EXPECT_EQ(exit.output, shown.output) << readme << ": " << shown.command;
      ++tried;
    }
    EXPECT_EQ(tried, 4) << readme;
  }
}

}  // namespace
}  // namespace fvlm
