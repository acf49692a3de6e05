// Tiles chosen by measuring: which, how they are remembered, and that answers do not depend on
// them.
#include "runtime/engine/tuning.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "runtime/support/cache_folder.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

const TuningIdentity kAmpere{"NVIDIA A100-SXM4-80GB", 8, 0, 12080, "0.1.0"};
const GemmKey kFirst{1024, 768, 192, true, false};
const GemmKey kSecond{1024, 192, 768, false, true};

TEST(TuningText, IsReadAsItWasWritten) {
  const TileTable table = {{kFirst, 0}, {kSecond, 3}};
  const std::string text = tuning_text(kAmpere, table);
  EXPECT_PRED2(contains, text, "gemm positions bf16 1024 768 192 1 0 128x128");
  EXPECT_EQ(read_tuning(text, kAmpere), table);
  EXPECT_EQ(read_tuning(tuning_text(kAmpere, {}), kAmpere), TileTable());
}

TEST(TuningText, TellsKindsAndTypesApart) {
  using Kind = GemmKey::Kind;
  using enum WeightFormat::Type;
  TuningIdentity hopper = kAmpere;
  hopper.major = 9;
  TileTable table;
  int tile = 0;
  for (const Kind kind : {Kind::kPositions, Kind::kTokens, Kind::kSwiglu, Kind::kAttentionInput}) {
    for (const WeightFormat::Type type : {kBF16, kInt8, kInt4}) {
      table[{320, 1152, 896, false, true, kind, type}] = tile++ % 2;
    }
  }
  EXPECT_EQ(read_tuning(tuning_text(hopper, table), hopper), table);
  EXPECT_EQ(read_tuning(tuning_text(kAmpere, table), kAmpere), table);
  EXPECT_PRED2(contains, tuning_text(hopper, table), "gemm qkv int8 320 1152 896 0 1 wgmma 128x");
}

TEST(TuningText, OfAnotherDeviceDriverOrProgramIsIgnored) {
  const std::string text = tuning_text(kAmpere, {{kFirst, 1}});
  for (int what = 0; what < 5; ++what) {
    TuningIdentity other = kAmpere;
    if (what == 0) other.device += " PCIe";
    if (what == 1) other.major = 9;
    if (what == 2) other.minor = 6;
    if (what == 3) ++other.driver;
    if (what == 4) other.program = "0.2.0";
    EXPECT_EQ(read_tuning(text, other), std::nullopt) << what;
  }
}

TEST(TuningText, CutOffIsIgnored) {
  const std::string text = tuning_text(kAmpere, {{kFirst, 1}, {kSecond, 2}});
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(read_tuning(text.substr(0, size), kAmpere), std::nullopt) << size;
  }
  EXPECT_EQ(read_tuning(text + text, kAmpere), std::nullopt);
}

TEST(TuningText, LinesThatCannotBeAreIgnoredWithAllTheRest) {
  const auto with_line = [](const std::string& line) {
    std::string text = tuning_text(kAmpere, {{kFirst, 1}});
    text.insert(text.find("gemm"), line + "\n");
    text.replace(text.find("end 1"), 5, "end 2");
    return read_tuning(text, kAmpere);
  };
  EXPECT_TRUE(with_line("gemm positions bf16 64 64 64 0 0 64x64"));
  EXPECT_TRUE(with_line("gemm swiglu int4 64 64 64 0 0 64x64"));
  for (const char* line :
       {"", "gemm", "gemm positions bf16 64 64 64 0 0 ", "gemm positions bf16 64 64 64 0 0 63x64",
        "gemm positions bf16 64 64 64 0 0 wgmma 64x64", "gemm positions bf16 64 64 64 2 0 64x64",
        "gemm positions bf16 064 64 64 0 0 64x64", "gemm positions bf16 64 64 64 0 0 64x64 ",
        "gemm positions bf16 99999999999999999999 64 64 0 0 64x64",
        "gemm positions bf16 -64 64 64 0 0 64x64", "gemm positions bf16 8 64 64 0 0 64x64",
        "gemm positions bf16 1024 768 192 1 0 64x64", "gemm position bf16 64 64 64 0 0 64x64",
        "gemm tokens f32 64 64 64 0 0 64x64", "gemm 64 64 64 0 0 64x64", "\xff\xfe"}) {
    EXPECT_EQ(with_line(line), std::nullopt) << line;
  }
}

// Seconds by tile; time passes as tiles are timed.
struct Stopwatch {
  std::array<double, 4> times{};
  double now = 0;
  int timed = 0;

  TileTable tune_within(double budget, const std::vector<GemmKey>& gemms, TileTable table = {}) {
    tune(
        gemms, 8, budget, [this] { return now; },
        [this](const GemmKey&, int tile) {
          const double seconds = times[static_cast<std::size_t>(tile)];
          ++timed;
          if (std::isfinite(seconds)) now += seconds;
          return seconds;
        },
        table);
    return table;
  }
};

TEST(Tuning, TakesTheFastest) {
  Stopwatch watch{{0.3, 0.1, 0.2, 0.4}};
  EXPECT_EQ(watch.tune_within(100, {kFirst, kSecond}), (TileTable{{kFirst, 1}, {kSecond, 1}}));
}

TEST(Tuning, TimesNothingThatIsKnownOrHasNoChoice) {
  Stopwatch watch{{0.3, 0.1, 0.2, 0.4}};
  const GemmKey narrow{1024, 32, 96, false, false};
  const TileTable known = {{kFirst, 3}};
  EXPECT_EQ(watch.tune_within(100, {kFirst, narrow}, known), known);
  EXPECT_EQ(watch.timed, 0);
}

TEST(Tuning, EndsInTimeAndLeavesOutWhatIsHalfDone) {
  Stopwatch watch{{0.3, 0.1, 0.2, 0.4}};
  EXPECT_EQ(watch.tune_within(1.2, {kFirst, kSecond}), (TileTable{{kFirst, 1}}));
  EXPECT_EQ(watch.tune_within(0, {kFirst}), TileTable());
}

TEST(Tuning, LeavesOutWhatCannotBeTimed) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  Stopwatch watch{{kNever, kNever, kNever, kNever}};
  EXPECT_EQ(watch.tune_within(1, {kFirst}), TileTable());
}

// Sets a variable of the environment while it lives.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_{};
};

TEST(CacheFolder, IsTheServicesOrTheUsers) {
  const Environment service("CACHE_DIRECTORY", "");
  const Environment user("XDG_CACHE_HOME", "/user/cache");
  const Environment home("HOME", "/home/me");
  EXPECT_EQ(cache_folder(), "/user/cache/fastvlm");
  {
    const Environment set("CACHE_DIRECTORY", "/var/cache/fastvlm:/var/cache/more");
    EXPECT_EQ(cache_folder(), "/var/cache/fastvlm");
  }
  {
    const Environment set("XDG_CACHE_HOME", "relative");
    EXPECT_EQ(cache_folder(), "/home/me/.cache/fastvlm");
    const Environment none("HOME", "");
    EXPECT_EQ(cache_folder(), "");
    EXPECT_EQ(tuning_file(kAmpere), "");
  }
}

class TuningFile : public testing::Test {
 protected:
  TemporaryFolder folder_{};
  Environment cache_{"CACHE_DIRECTORY", (folder_.path() / "new" / "folder").string()};
  TileTable table_ = {{kFirst, 2}};
};

TEST_F(TuningFile, IsFoundAgain) {
  const fs::path file = tuning_file(kAmpere);
  EXPECT_EQ(file, folder_.path() / "new/folder/tiles-NVIDIA-A100-SXM4-80GB.txt");
  EXPECT_EQ(load_tuning(file, kAmpere), std::nullopt);
  EXPECT_TRUE(save_tuning(file, kAmpere, table_));
  EXPECT_EQ(load_tuning(file, kAmpere), table_);
  table_[kSecond] = 1;
  EXPECT_TRUE(save_tuning(file, kAmpere, table_));
  EXPECT_EQ(load_tuning(file, kAmpere), table_);
  EXPECT_EQ(std::distance(fs::directory_iterator(file.parent_path()), {}), 1) << "no other file";
}

TEST_F(TuningFile, WhatCannotBeReadOrWrittenIsLeft) {
  const fs::path file = tuning_file(kAmpere);
  write_file(folder_.path() / "new", "a file where the folder would be");
  EXPECT_FALSE(save_tuning(file, kAmpere, table_));
  EXPECT_EQ(load_tuning(file, kAmpere), std::nullopt);
  fs::remove(folder_.path() / "new");
  fs::create_directories(file);
  EXPECT_EQ(load_tuning(file, kAmpere), std::nullopt) << "a folder";
  EXPECT_FALSE(save_tuning(file, kAmpere, table_));
  EXPECT_FALSE(save_tuning({}, kAmpere, table_));
}

TEST_F(TuningFile, LargeOrForeignOnesAreIgnored) {
  const fs::path file = tuning_file(kAmpere);
  fs::create_directories(file.parent_path());
  write_file(file, std::string(std::size_t{2} << 20, 'x'));
  EXPECT_EQ(load_tuning(file, kAmpere), std::nullopt);
  write_file(file, "[something]\nelse = 1\n");
  EXPECT_EQ(load_tuning(file, kAmpere), std::nullopt);
}

}  // namespace
}  // namespace fvlm
