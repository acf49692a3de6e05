// The scripts that a newcomer runs first say plainly what is wrong: no network, a tree that was
// moved. apt-get and its kin are played by scripts of a few lines.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

struct Ended {
  int code = 0;
  std::string output;  // and errors
};

Ended shell(const std::string& command) {
  Ended ended;
  std::FILE* pipe = ::popen(("(" + command + ") 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  char part[4096];
  while (std::fgets(part, sizeof(part), pipe) != nullptr) ended.output += part;
  const int status = ::pclose(pipe);
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

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
