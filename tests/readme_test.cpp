// What README shows of programs is what tests/install builds.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace fvlm {
namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

// Lines as a Markdown document shows code: behind four spaces.
std::string indented(const std::string& text) {
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    result += line.empty() ? "\n" : "    " + line + "\n";
  }
  return result;
}

TEST(Readme, ShowsTheProgramThatIsTested) {
  const std::filesystem::path top = FVLM_SOURCE;
  const std::string program = content(top / "tests/install/describe.cpp");
  ASSERT_NE(program.find("int main("), std::string::npos);
  for (const char* readme : {"README.md", "README.zh.md"}) {
    EXPECT_NE(content(top / readme).find("\n\n" + indented(program)), std::string::npos)
        << readme << " does not show tests/install/describe.cpp as it is";
  }
}

}  // namespace
}  // namespace fvlm
