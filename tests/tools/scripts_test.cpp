// The scripts that a newcomer runs first say plainly what is wrong: no network, a tree that was
// moved. apt-get and its kin are played by scripts of a few lines.
#include <gtest/gtest.h>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/shell.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

class InstallPackages : public testing::Test {
 protected:
  void SetUp() override {
    fake("dpkg", "echo amd64");
    fake("dpkg-query", "exit 1");
    fake("id", "echo 0");
  }
  void fake(const std::string& program, const std::string& body) const {
    const fs::path file = folder_ / program;
    write_file(file, "#!/bin/sh\n" + body + "\n");
    fs::permissions(file, fs::perms::owner_all);
  }
  Ended install() const {
    return shell("PATH=" + folder_.path().string() +
                 ":$PATH " FVLM_SOURCE "/tools/install_packages.sh");
  }

  // As apt-get does: without a network, update succeeds unless any error is to be one.
  static constexpr const char* kOffline = R"(case "$*" in
      *APT::Update::Error-Mode=any*update) exit 100 ;;
      *update) exit 0 ;;
      *) echo "E: Unable to locate package" >&2; exit 100 ;;
    esac)";

 private:
  TemporaryFolder folder_;
};

TEST_F(InstallPackages, SaysThatThereIsNoNetwork) {
  fake("apt-get", kOffline);
  const Ended ended = install();
  EXPECT_EQ(ended.code, 1);
  EXPECT_PRED2(contains, ended.output, "is there a network?");
}

TEST_F(InstallPackages, DoesNotBlameTheNetworkForOtherFaults) {
  fake("apt-get", R"(case "$*" in *update) exit 0 ;; *) exit 100 ;; esac)");
  const Ended ended = install();
  EXPECT_EQ(ended.code, 1);
  EXPECT_PRED2(contains, ended.output, "could not install");
  EXPECT_EQ(ended.output.find("network"), std::string::npos) << ended.output;
}

TEST_F(InstallPackages, DoesWithOldListsWhereTheyAreEnough) {
  fake("apt-get", R"(case "$*" in *update) exit 100 ;; esac)");
  EXPECT_EQ(install().code, 0);
}

// In a tree of its own, where nothing is built, with an nvidia-smi that says `status`.
class GpuCheck : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(tree_ / "tools");
    fs::create_directories(tree_ / "fakes");
    fs::copy(FVLM_SOURCE "/tools/gpu_check.sh", tree_ / "tools");
    fake("python3", "exit 0");
    fake("nvidia-smi", "exit 0");
  }
  void fake(const std::string& program, const std::string& body) const {
    write_file(tree_ / "fakes" / program, "#!/bin/sh\n" + body + "\n");
    fs::permissions(tree_ / "fakes" / program, fs::perms::owner_all);
  }
  Ended check(const std::string& arguments, const std::string& environment = "") const {
    return shell("PATH=" + (tree_ / "fakes").string() + ":$PATH " + environment + " " +
                 (tree_ / "tools/gpu_check.sh").string() + " " + arguments);
  }
  std::string out() const { return (tree_ / "out").string() + " "; }

  TemporaryFolder tree_{};
};

TEST_F(GpuCheck, ListsItsParts) {
  const Ended ended = check("");
  EXPECT_EQ(ended.code, 2);
  for (const char* part : {"build", "kernels", "engine", "profile", "peer"}) {
    EXPECT_PRED2(contains, ended.output, part);
  }
  EXPECT_EQ(check(out() + "paint").code, 2);
  EXPECT_PRED2(contains, check(out() + "paint").output, "there is no part paint");
}

TEST_F(GpuCheck, SaysWhatIsNotThere) {
  fake("nvidia-smi", "exit 9");
  const Ended ended = check(out() + "test engine");
  EXPECT_EQ(ended.code, 1);
  EXPECT_PRED2(contains, ended.output, "not there: CUDA-device");
}

TEST_F(GpuCheck, PartsNeedTheBuild) {
  const Ended ended = check(out() + "test kernels");
  EXPECT_EQ(ended.code, 1);
  EXPECT_PRED2(contains, ended.output, "== kernels left out: the part build");
}

TEST_F(GpuCheck, SaysWhatItLeavesOut) {
  Ended ended = check(out() + "engine");
  EXPECT_EQ(ended.code, 0);
  EXPECT_PRED2(contains, ended.output, "left out: build/gpu-carry.tar.xz is not there");
  EXPECT_TRUE(fs::exists(tree_ / "out/engine.log"));
  ended = check(out() + "engine", "GPU_CHECK_SECONDS=0");
  EXPECT_EQ(ended.code, 0);
  EXPECT_PRED2(contains, ended.output, "== engine left out: 0 s are over");
}

TEST_F(GpuCheck, EndsAPartThatTakesTooLong) {
  fs::create_directories(tree_ / "build/gpu-check/bin");
  fake("endless", "sleep 60");
  fs::copy(tree_ / "fakes/endless", tree_ / "build/gpu-check/bin/gpu_test");
  const Ended ended = check(out() + "test", "GPU_CHECK_SECONDS=3");
  EXPECT_EQ(ended.code, 1);
  EXPECT_PRED2(contains, ended.output, "== test FAILED: not done after");
}

TEST(ProfileTable, AddsUpTheKernelsOfAPass) {
  if (shell("python3 --version").code != 0) GTEST_SKIP() << "no python3";
  const TemporaryFolder folder;
  write_file(folder / "ncu.csv", R"csv(==PROF== Connected to process 7
"ID","Kernel Name","Grid Size","dram__throughput.avg.pct_of_peak_sustained_elapsed","gpu__time_duration.sum","sm__throughput.avg.pct_of_peak_sustained_elapsed"
"","","","%","ns","%"
"0","void fvlm::device::small<float>(float *)","(4, 1, 1)","10.00","1,500.00","20.00"
"1","void fvlm::device::large<float>(float *)","(8, 2, 1)","50.00","6,000.00","60.00"
"2","void fvlm::device::small<float>(float *)","(4, 1, 1)","30.00","2,500.00","40.00"
)csv");
  const std::string script = "python3 " FVLM_SOURCE "/bench/gpu_check/profile_table.py decode1";
  const Ended ended = shell(script + " < " + (folder / "ncu.csv").string());
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_PRED2(contains, ended.output, "decode1: 3 kernels, 10.0 us");
  const auto large =
      ended.output.find("6.0 us  60.0% x  1 each     6.0  sm   60% dram   50% grid     16 large");
  const auto small =
      ended.output.find("4.0 us  40.0% x  2 each     2.0  sm   30% dram   20% grid      4 small");
  EXPECT_NE(large, std::string::npos) << ended.output;
  EXPECT_NE(small, std::string::npos) << ended.output;
  EXPECT_LT(large, small);
  EXPECT_NE(shell(script + " < /dev/null").code, 0);
}

TEST(Build, HintsAtATreeThatWasMoved) {
  const TemporaryFolder tree;
  fs::create_directories(tree / "tools/scripts");
  fs::create_directories(tree / "build/cpu");
  fs::copy(FVLM_SOURCE "/tools/scripts/build.sh", tree / "tools/scripts");
  write_file(tree / "build/cpu/CMakeCache.txt", "CMAKE_HOME_DIRECTORY:INTERNAL=/where/it/was\n");
  const Ended ended = shell((tree / "tools/scripts/build.sh").string() + " cpu");
  EXPECT_EQ(ended.code, 1);
  EXPECT_PRED2(contains, ended.output, "/where/it/was");
  EXPECT_PRED2(contains, ended.output, "rm -r build/cpu");
}

}  // namespace
}  // namespace fvlm
