// What is written appears whole or not at all: after a refusal, a full disk, an error and a kill,
// the old files are as they were.
#include "runtime/support/new_files.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/random_checkpoint.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

// {name: bytes} of all files below a folder.
std::map<std::string, std::string> content_of(const fs::path& folder) {
  std::map<std::string, std::string> content;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) content[entry.path().filename()] = read_file(entry.path());
  }
  return content;
}

class NewFiles : public testing::Test {
 protected:
  void write(std::uint64_t seed, bool force = false,
             const std::function<void(double)>& on_progress = {}) const {
    write_random_checkpoint({.size = "tiny",
                             .seed = seed,
                             .output = out(),
                             .force = force,
                             .tokenizer = {},
                             .on_progress = on_progress});
  }
  fs::path out() const { return folder_ / "out"; }
  // What is beside the output, which must be nothing.
  bool nothing_left_over() const {
    return std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator{}) == 1;
  }

  TemporaryFolder folder_;
};

TEST_F(NewFiles, AFolderThatHoldsAnythingIsRefused) {
  write(1);
  const auto old = content_of(out());
  EXPECT_PRED2(contains, error_of([&] { write(2); }), "holds files already");
  EXPECT_EQ(content_of(out()), old);
  write(2, true);
  EXPECT_NE(content_of(out()), old);
  EXPECT_NO_THROW(Checkpoint::open(out()));
  EXPECT_TRUE(nothing_left_over());
}

TEST_F(NewFiles, ForceReplacesCheckpointsOnly) {
  fs::create_directory(out());
  write_file(out() / "thesis.txt", "years of work");
  EXPECT_PRED2(contains, error_of([&] { write(1, true); }), "--force replaces checkpoints only");
  EXPECT_EQ(read_file(out() / "thesis.txt"), "years of work");
  fs::remove_all(out());
  write_file(out(), "a file");
  EXPECT_PRED2(contains, error_of([&] { write(1, true); }), "is a file, expected a folder");
}

TEST_F(NewFiles, AnEmptyFolderIsFilled) {
  fs::create_directory(out());
  write(1);
  EXPECT_NO_THROW(Checkpoint::open(out()));
  EXPECT_TRUE(nothing_left_over());
}

TEST_F(NewFiles, AnErrorLeavesTheOldOneWhole) {
  write(1);
  const auto old = content_of(out());
  const auto stop = [](double fraction) {
    if (fraction > 0.5) throw Error("stopped");
  };
  EXPECT_EQ(error_of([&] { write(2, true, stop); }), "stopped");
  EXPECT_EQ(content_of(out()), old);
  EXPECT_TRUE(nothing_left_over());
}

// As a full disk.
TEST_F(NewFiles, AFileThatMayNotGrowLeavesTheOldOneWhole) {
  write(1);
  const auto old = content_of(out());
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = error_of([&] { write(2, true); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_PRED2(contains, error, "File too large");
  EXPECT_EQ(content_of(out()), old);
  EXPECT_TRUE(nothing_left_over());
}

// Killed when it has written half; what it leaves is no obstacle to the next run.
TEST_F(NewFiles, AKillLeavesTheOldOneWhole) {
  // The test's process that is killed is a new one, which learns here where to write.
  constexpr const char* kShared = "FVLM_TEST_KILLED";
  ::setenv(kShared, out().c_str(), 0);
  const fs::path shared = std::getenv(kShared);
  const auto write_shared = [&](std::uint64_t seed, const std::function<void(double)>& progress) {
    write_random_checkpoint({.size = "tiny",
                             .seed = seed,
                             .output = shared,
                             .force = true,
                             .tokenizer = {},
                             .on_progress = progress});
  };
  if (shared == out()) write_shared(1, {});
  const auto old = content_of(shared);
  const auto die = [](double fraction) {
    if (fraction > 0.5) std::raise(SIGKILL);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(write_shared(2, die), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(content_of(shared), old);
  EXPECT_FALSE(nothing_left_over());
  write_shared(3, {});
  EXPECT_NE(content_of(shared), old);
  EXPECT_TRUE(nothing_left_over());
  ::unsetenv(kShared);
}

TEST_F(NewFiles, AFileThatIsThereIsRefused) {
  write_file(out(), "old");
  EXPECT_PRED2(contains, error_of([&] { require_new_file(out(), false); }), "is there already");
  EXPECT_NO_THROW(require_new_file(out(), true));
  EXPECT_NO_THROW(require_new_file(folder_ / "new", false));
  EXPECT_TRUE(is_device("/dev/null"));
  EXPECT_PRED2(contains, error_of([&] { require_new_file("/dev/null", true); }), "is a device");
  EXPECT_PRED2(contains, error_of([&] { require_new_file(folder_ / "none/new", false); }),
               "there is no folder");
  EXPECT_FALSE(is_device(out()) || is_device(folder_.path()) || is_device(folder_ / "none"));
  EXPECT_PRED2(contains, error_of([&] { require_new_file(folder_.path(), true); }),
               "is a folder, expected a file");
}

}  // namespace
}  // namespace fvlm
