#include "kernels/support/processors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

TEST(Processors, TheTightestQuotaAroundTheProcessCounts) {
  const TemporaryFolder groups;
  const std::filesystem::path service = groups / "system.slice" / "fastvlm.service";
  std::filesystem::create_directories(service);
  const auto quota_in = [&](const std::string& group) {
    write_file(groups / "membership", "1:name=systemd:/other\n0::" + group + "\n");
    return processor_quota(groups.path(), groups / "membership");
  };
  EXPECT_TRUE(std::isinf(quota_in("/system.slice/fastvlm.service")));
  write_file(service / "cpu.max", "max 100000\n");
  EXPECT_TRUE(std::isinf(quota_in("/system.slice/fastvlm.service")));
  write_file(service / "cpu.max", "350000 100000\n");
  EXPECT_EQ(quota_in("/system.slice/fastvlm.service"), 3.5);
  write_file(groups / "system.slice" / "cpu.max", "50000 20000\n");
  EXPECT_EQ(quota_in("/system.slice/fastvlm.service"), 2.5);
  EXPECT_EQ(quota_in("/system.slice"), 2.5);
  EXPECT_TRUE(std::isinf(quota_in("/")));
  write_file(groups / "cpu.max", "100000 100000\n");  // as a container sees its own
  EXPECT_EQ(quota_in("/"), 1);
  EXPECT_EQ(quota_in("/system.slice/fastvlm.service"), 1);
}

TEST(Processors, WithoutControlGroupsThereIsNoQuota) {
  const TemporaryFolder nothing;
  EXPECT_TRUE(std::isinf(processor_quota(nothing.path(), nothing / "membership")));
  write_file(nothing / "membership", "9:cpu:/\n");  // version 1
  EXPECT_TRUE(std::isinf(processor_quota(nothing.path(), nothing / "membership")));
  EXPECT_GE(available_processors(), 1);
}

}  // namespace
}  // namespace fvlm
