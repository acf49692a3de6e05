// Documents and comments name files, so that a newcomer finds them in one hop: each path in
// backquotes in a document, and each source in a comment, exists, from the top of the project, from
// the document's own folder, or as the end of a path.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace fvlm {
namespace {

namespace fs = std::filesystem;

// Every file below the top's folders, as "/kernels/cpu/cpu.hpp".
std::set<std::string> project_files() {
  const fs::path top = FVLM_SOURCE;
  std::set<std::string> files;
  for (const char* folder : {"include", "kernels", "runtime", "net", "capture", "tools", "bench",
                             "tests", "third_party"}) {
    for (const auto& entry : fs::recursive_directory_iterator(top / folder)) {
      files.insert("/" + fs::relative(entry.path(), top).string());
    }
  }
  return files;
}

// Names of our files in a text: sources, and paths of other files and of folders, but those that
// users' commands make.
std::vector<std::string> names_in(const std::string& text) {
  const std::regex name(
      R"(`((?:[\w.-]+/)+(?:[\w-]+\.(?:hpp|cpp|cu|md|sh|py|cmake|txt|toml|yaml|cfg|js|html))?)"
      R"(|[\w-]+\.(?:hpp|cpp|cu))`)");
  std::vector<std::string> names;
  for (std::sregex_iterator match(text.begin(), text.end(), name), end; match != end; ++match) {
    const std::string found = (*match)[1];
    if (!found.starts_with("build/") && found != "checkpoints/") names.push_back(found);
  }
  return names;
}

bool is_named_well(const std::string& name, const fs::path& document,
                   const std::set<std::string>& files) {
  if (fs::exists(fs::path(FVLM_SOURCE) / name) || fs::exists(document.parent_path() / name)) {
    return true;
  }
  for (const std::string& file : files) {
    if (file.ends_with("/" + name)) return true;
  }
  return false;
}

TEST(Documents, NameFilesThatExist) {
  const std::set<std::string> files = project_files();
  std::size_t count = 0;
  for (const char* name :
       {"README.md", "README.zh.md", "CONTRIBUTING.md", "bench/README.md", "third_party/README.md",
        "tools/demo/README.md", "tools/deploy/README.md"}) {
    const fs::path document = fs::path(FVLM_SOURCE) / name;
    std::ifstream stream(document);
    ASSERT_TRUE(stream) << name;
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    for (const std::string& file : names_in(text)) {
      EXPECT_TRUE(is_named_well(file, document, files)) << name << " names " << file;
      ++count;
    }
  }
  EXPECT_GT(count, 150U);
}

// Sources that the comments of a source name. Names with capitals stand for any.
std::vector<std::string> names_in_comments(std::istream& source) {
  const std::regex name(R"((?:[a-z0-9_.-]+/)*[a-z0-9_-]+\.(?:hpp|cpp|cu)\b)");
  std::vector<std::string> names;
  for (std::string line; std::getline(source, line);) {
    const std::size_t comment = line.find("// ");
    if (comment == std::string::npos) continue;
    const auto begin = line.cbegin() + static_cast<std::ptrdiff_t>(comment);
    for (std::sregex_iterator match(begin, line.cend(), name), end; match != end; ++match) {
      names.push_back(match->str());
    }
  }
  return names;
}

TEST(Comments, NameFilesThatExist) {
  const std::set<std::string> files = project_files();
  std::size_t count = 0;
  for (const std::string& file : files) {
    const fs::path path = FVLM_SOURCE + file;
    const std::string extension = path.extension();
    if (extension != ".hpp" && extension != ".cpp" && extension != ".cu") continue;
    std::ifstream source(path);
    for (const std::string& name : names_in_comments(source)) {
      EXPECT_TRUE(is_named_well(name, path, files)) << file << " names " << name;
      ++count;
    }
  }
  EXPECT_GT(count, 50U);
}

TEST(Documents, WrongNamesAreSeen) {
  const std::set<std::string> files = project_files();
  const fs::path document = fs::path(FVLM_SOURCE) / "README.md";
  EXPECT_EQ(names_in("`a/b.hpp`, `c.cu` and `d/`: not `predict.py`, `config.json`, `build/a.sh`"),
            (std::vector<std::string>{"a/b.hpp", "c.cu", "d/"}));
  const std::string comment = std::string(2, '/') + " ";  // not as it is: this file is read, too
  std::istringstream source("#include \"x.hpp\"\nint a;  " + comment +
                            "as in a/b.hpp, not NAME.cpp\n" + comment + "c.cu.");
  EXPECT_EQ(names_in_comments(source), (std::vector<std::string>{"a/b.hpp", "c.cu"}));
  EXPECT_TRUE(is_named_well("kernels/cpu/cpu.hpp", document, files));
  EXPECT_TRUE(is_named_well("cpu/cpu.hpp", document, files));
  EXPECT_TRUE(is_named_well("net/page/", document, files));
  EXPECT_FALSE(is_named_well("kernels/cpu/nothing.hpp", document, files));
  EXPECT_FALSE(is_named_well("pu.hpp", document, files));
}

}  // namespace
}  // namespace fvlm
