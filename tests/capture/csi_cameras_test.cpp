// The list of CSI cameras, from programs that are scripts.
#include "capture/source/csi_cameras.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/temporary_folder.hpp"

namespace fvlm::capture {
namespace {

constexpr char kTwo[] = R"([0:01:02] [123]  INFO Camera camera_manager.cpp:284 libcamera v0.1
Available cameras
-----------------
0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                             1640x1232 [41.85 fps - (0, 0)/3280x2464 crop]
1 : imx708_wide (/base/axi/pcie@120000/rp1/i2c@80000/imx708@1a)
)";

TEST(CsiCameras, AreReadFromAList) {
  const auto cameras = parse_csi_cameras(kTwo);
  ASSERT_EQ(cameras.size(), 2U);
  EXPECT_EQ(cameras[0].number, 0);
  EXPECT_EQ(cameras[0].sensor, "imx219");
  EXPECT_EQ(cameras[0].size, "3280x2464");
  EXPECT_EQ(cameras[1].sensor, "imx708_wide");
  EXPECT_EQ(cameras[1].size, "");
}

TEST(CsiCameras, RubbishIsPassedOver) {
  for (const char* text : {"", "No cameras available!\n", "0", "0 :", "0 : [640x480]", ": x",
                           "-1 : a", "99999999999999 : a", "1 a"}) {
    EXPECT_TRUE(parse_csi_cameras(text).empty()) << text;
  }
  EXPECT_EQ(parse_csi_cameras("2 : ov5647 [x480]").at(0).size, "");
  EXPECT_EQ(parse_csi_cameras("2 : ov5647 [").at(0).sensor, "ov5647");
}

class CsiListTest : public testing::Test {
 protected:
  CsiListTest() { ::setenv("PATH", (folder.path().string() + ":" + path).c_str(), 1); }
  ~CsiListTest() override { ::setenv("PATH", path.c_str(), 1); }
  void install(const std::string& name, const std::string& script) {
    write_file(folder / name, "#!/bin/sh\n" + script);
    std::filesystem::permissions(folder / name, std::filesystem::perms::owner_all);
  }
  const TemporaryFolder folder{};
  const std::string path = std::getenv("PATH");
};

TEST_F(CsiListTest, SaysHowToUseThem) {
  install("rpicam-hello",
          std::string("[ \"$*\" = --list-cameras ] && cat << 'END'\n") + kTwo + "END\n");
  const std::string list = list_csi_cameras();
  EXPECT_NE(list.find("CSI camera 0: imx219, 3280x2464\n"), std::string::npos) << list;
  EXPECT_NE(list.find("--source 'pipe:rpicam-vid -t 0 --camera 1 "), std::string::npos) << list;
}

TEST_F(CsiListTest, TheOldNameWorksAndAFailureIsTold) {
  install("libcamera-hello", "echo '0 : ov5647 [2592x1944]'\n");
  EXPECT_NE(list_csi_cameras().find("pipe:libcamera-vid -t 0 --camera 0 "), std::string::npos);
  install("libcamera-hello", "exit 7\n");
  EXPECT_NE(list_csi_cameras().find("failed with status 7"), std::string::npos);
  install("libcamera-hello", "echo 'No cameras available!'\n");
  EXPECT_EQ(list_csi_cameras(), "");
}

}  // namespace
}  // namespace fvlm::capture
