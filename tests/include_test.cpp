// The layers of the project and which may include which: dependencies point one way. See
// CONTRIBUTING.md.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fvlm {
namespace {

namespace fs = std::filesystem;

// What files of a layer may include of our own, beside their own layer.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"include/fvlm", {"include/fvlm/core", "include/fvlm/ops/pixels.hpp"}},
    {"include/fvlm/core", {"include/fvlm/error.hpp"}},
    {"include/fvlm/ops", {"include/fvlm/core"}},
    {"include/fvlm/models", {"include/fvlm/core", "include/fvlm/ops"}},
    {"kernels/support", {"include/fvlm/error.hpp"}},
    {"kernels/ref", {"include/fvlm/core", "include/fvlm/ops"}},
    {"kernels/cpu",
     {"include/fvlm/error.hpp", "include/fvlm/core", "include/fvlm/ops", "kernels/support"}},
    {"kernels/cuda/primitives", {"include/fvlm/core", "include/fvlm/ops", "kernels/emulator"}},
    {"kernels/cuda/rowwise", {"include/fvlm/core", "include/fvlm/ops", "kernels/cuda/primitives"}},
    {"kernels/cuda/gemv", {"include/fvlm/core", "include/fvlm/ops", "kernels/cuda/primitives"}},
    {"kernels/cuda/gemm",
     {"include/fvlm/core", "include/fvlm/ops", "kernels/cuda/primitives", "kernels/cuda/rowwise",
      "kernels/cuda/gemv"}},
    {"kernels/cuda/attention",
     {"include/fvlm/core", "include/fvlm/ops", "kernels/cuda/primitives", "kernels/cuda/gemm"}},
    {"kernels/cuda/convolution",
     {"include/fvlm/core", "include/fvlm/ops", "kernels/cuda/primitives"}},
    {"kernels/cuda/sampling", {"include/fvlm/core", "include/fvlm/ops", "kernels/cuda/primitives"}},
    {"kernels/cuda/host",
     {"include/fvlm/error.hpp", "include/fvlm/core", "include/fvlm/ops", "kernels/support",
      "kernels/cuda/primitives", "kernels/cuda/rowwise", "kernels/cuda/gemv", "kernels/cuda/gemm",
      "kernels/cuda/attention", "kernels/cuda/convolution", "kernels/cuda/sampling"}},
    {"kernels/emulator",
     {"include/fvlm/error.hpp", "include/fvlm/core", "include/fvlm/ops", "kernels/support",
      "kernels/cuda/primitives"}},
    {"kernels/plan", {"include/fvlm/core", "include/fvlm/ops"}},
    {"runtime/support", {"include/fvlm/error.hpp", "include/fvlm/core", "kernels/support"}},
    {"runtime/config",
     {"include/fvlm/error.hpp", "include/fvlm/core", "kernels/support", "include/fvlm/models",
      "runtime/support"}},
    {"runtime/tokenizer",
     {"include/fvlm/error.hpp", "include/fvlm/core", "kernels/support", "runtime/support",
      "runtime/config"}},
    {"runtime/grammar",
     {"include/fvlm/error.hpp", "include/fvlm/grammar.hpp", "kernels/support", "runtime/config",
      "runtime/tokenizer"}},
    {"runtime/image",
     {"include/fvlm/error.hpp", "include/fvlm/image.hpp", "include/fvlm/core", "kernels/support",
      "include/fvlm/ops", "include/fvlm/models/config.hpp", "kernels/cpu", "runtime/support"}},
    {"runtime/checkpoint",
     {"include/fvlm/error.hpp", "include/fvlm/core", "kernels/support", "include/fvlm/ops",
      "include/fvlm/models", "kernels/plan", "runtime/support", "runtime/config",
      "runtime/tokenizer"}},
    {"runtime/engine",
     {"include/fvlm", "include/fvlm/core", "kernels/support", "include/fvlm/ops",
      "include/fvlm/models", "kernels/ref", "kernels/cpu", "kernels/cuda/host", "kernels/plan",
      "runtime/support", "runtime/config", "runtime/tokenizer", "runtime/grammar", "runtime/image",
      "runtime/checkpoint"}},
    {"runtime/convert",
     {"include/fvlm", "include/fvlm/core", "kernels/support", "include/fvlm/ops",
      "include/fvlm/models", "kernels/plan", "runtime/support", "runtime/config", "runtime/image",
      "runtime/checkpoint", "runtime/engine"}},
    {"net/command_line", {"net/http"}},
    {"net/process", {"net/protocol"}},
    {"net/protocol", {}},
    {"net/http", {"net/protocol"}},
    {"net/api", {"include/fvlm", "net/protocol", "net/http"}},
    {"net/service",
     {"include/fvlm", "include/fvlm/core/histogram.hpp", "net/api", "net/process", "net/protocol",
      "net/http"}},
    {"capture/source", {}},
    {"capture/link", {"capture/source", "net/protocol", "net/http"}},
    {"capture",
     {"capture/source", "capture/link", "net/command_line", "net/protocol", "net/http",
      "net/process"}},
};

// The layer of a file, by the longest folder that is one; empty for tools, bench and tests, which
// may include anything.
std::string layer_of(const std::string& file) {
  std::string best;
  for (const auto& [layer, allowed] : kMayInclude) {
    if (file.starts_with(layer + "/") && layer.size() > best.size()) best = layer;
  }
  return best;
}

bool may_include(const std::string& layer, const std::string& file) {
  const auto& allowed = kMayInclude.at(layer);
  return layer_of(file) == layer || allowed.contains(file) || allowed.contains(layer_of(file));
}

// Our own headers a file includes, as paths from the top of the project.
std::vector<std::string> includes_of(const fs::path& path) {
  constexpr std::string_view kInclude = "#include \"";
  std::vector<std::string> found;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kInclude)) continue;
    line.erase(0, kInclude.size());
    const std::string name = line.substr(0, line.find('"'));
    found.push_back(name.starts_with("fvlm/") ? "include/" + name : name);
  }
  return found;
}

TEST(Includes, PointOneWay) {
  const fs::path top = FVLM_SOURCE;
  int files = 0;
  for (const char* folder : {"include", "kernels", "runtime", "net", "capture"}) {
    if (!fs::exists(top / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(top / folder)) {
      const std::string extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp" && extension != ".cu" && extension != ".cuh")
        continue;
      const std::string file = fs::relative(entry.path(), top);
      const std::string layer = layer_of(file);
      ASSERT_FALSE(layer.empty()) << file << " belongs to no layer";
      for (const std::string& included : includes_of(entry.path())) {
        EXPECT_TRUE(fs::exists(top / included))
            << file << " includes " << included << ", which is not there";
        EXPECT_TRUE(may_include(layer, included)) << file << " must not include " << included;
      }
      ++files;
    }
  }
  EXPECT_GT(files, 50);
}

// The headers that tools/deploy/library.cmake installs, whatever backends this build has.
std::set<std::string> installed_headers() {
  const fs::path top = FVLM_SOURCE;
  std::vector<std::string> left = {"kernels/plan/plan.hpp", "kernels/ref/ref.hpp",
                                   "kernels/cpu/cpu.hpp", "kernels/cuda/host/cuda.hpp"};
  for (const auto& entry : fs::recursive_directory_iterator(top / "include")) {
    if (entry.is_regular_file()) left.push_back(fs::relative(entry.path(), top));
  }
  std::set<std::string> seen;
  while (!left.empty()) {
    const std::string header = left.back();
    left.pop_back();
    if (!seen.insert(header).second) continue;
    for (std::string& included : includes_of(top / header)) left.push_back(std::move(included));
  }
  return seen;
}

TEST(Includes, InstalledHeadersNeedNoOtherLibrary) {
  const std::set<std::string> headers = installed_headers();
  EXPECT_TRUE(headers.contains("kernels/cuda/primitives/stream.hpp"));
  for (const std::string& header : headers) {
    std::ifstream file(fs::path(FVLM_SOURCE) / header);
    for (std::string line; std::getline(file, line);) {
      const bool foreign = line.starts_with("#include <") && line.find_first_of("./") < line.size();
      EXPECT_TRUE(!foreign || line == "#include <sys/mman.h>") << header << ": " << line;
    }
  }
}

// Two classes of one name are one to the linker, which takes the destructor of either for both.
TEST(Classes, HaveNamesOfTheirOwnInANamespace) {
  const std::regex opens(R"(^(?:inline )?namespace ([\w:]+) \{)");
  const std::regex defines(R"(^(?:class|struct) (?:alignas\(\w+\) )?(\w+)(?: final)?(?: :.*)? \{)");
  std::map<std::string, std::string> found;
  for (const char* folder : {"include", "kernels", "runtime", "net", "capture", "tools"}) {
    for (const fs::directory_entry& entry :
         fs::recursive_directory_iterator(fs::path(FVLM_SOURCE) / folder)) {
      if (entry.path().extension() != ".hpp") continue;
      std::ifstream file(entry.path());
      std::string space;
      std::string before;
      for (std::string line; std::getline(file, line); before = line) {
        std::smatch match;
        if (std::regex_search(line, match, opens)) space = match[1];
        if (before.starts_with("template") || !std::regex_search(line, match, defines)) continue;
        const std::string name = space + "::" + match[1].str();
        const auto [at, is_new] = found.emplace(name, entry.path().string());
        EXPECT_TRUE(is_new) << name << " is in " << at->second << " and in " << entry.path();
      }
    }
  }
  EXPECT_GT(found.size(), 200U);
}

TEST(Includes, WrongArrowsAreSeen) {
  EXPECT_FALSE(may_include("include/fvlm/core", "include/fvlm/ops/spec.hpp"));
  EXPECT_FALSE(may_include("kernels/cpu", "include/fvlm/engine.hpp"));
  EXPECT_FALSE(may_include("kernels/cpu", "kernels/ref/ref.hpp"));
  EXPECT_FALSE(may_include("kernels/cuda/gemv", "kernels/cuda/gemm/gemm.hpp"));
  EXPECT_FALSE(may_include("kernels/cuda/gemm", "kernels/cuda/host/cuda.hpp"));
  EXPECT_FALSE(may_include("net/service", "runtime/tokenizer/tokenizer.hpp"));
  EXPECT_FALSE(may_include("net/http", "net/service/server.hpp"));
  EXPECT_FALSE(may_include("runtime/checkpoint", "include/fvlm/engine.hpp"));
  EXPECT_FALSE(may_include("capture", "include/fvlm/error.hpp"));
  EXPECT_FALSE(may_include("capture", "include/fvlm/engine.hpp"));
  EXPECT_FALSE(may_include("capture", "net/service/server.hpp"));
  EXPECT_FALSE(may_include("net/protocol", "include/fvlm/error.hpp"));
  EXPECT_FALSE(may_include("net/protocol", "capture/page.hpp"));
  EXPECT_TRUE(may_include("capture/link", "net/protocol/messages.hpp"));
  EXPECT_TRUE(may_include("net/service", "include/fvlm/engine.hpp"));
  EXPECT_TRUE(may_include("runtime/checkpoint", "kernels/plan/plan.hpp"));
}

}  // namespace
}  // namespace fvlm
