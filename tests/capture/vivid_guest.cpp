// What vivid.sh runs in its guest: fastvlm-camera on the four devices of vivid, watched over
// its HTTP port. vivid's own controls, on the same device, are the camera's mishaps.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/videodev2.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

// This one relies on what is included before it.
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/capture/program.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr int kDevices = 4;
constexpr char kProgram[] = "/bin/fastvlm-camera";

std::string device(int number) {
  return "/dev/video" + std::to_string(number);
}

std::vector<std::string> flags_for(int number, const std::vector<std::string>& more) {
  // No server: what is tested here is the camera.
  std::vector<std::string> flags = {"--source",     "v4l2:" + device(number),
                                    "--server",     "ws://127.0.0.1:9/ws",
                                    "--log-folder", "/tmp"};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// Sets a control by its name; 1 presses a button. Opens and closes the device: a vivid that is
// disconnected comes back when the last user is gone.
void set_control(int number, const std::string& name, int value) {
  const int descriptor = ::open(device(number).c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(descriptor, 0) << device(number);
  v4l2_queryctrl query{};
  query.id = V4L2_CTRL_FLAG_NEXT_CTRL;
  bool found = false;
  while (!found && ::ioctl(descriptor, VIDIOC_QUERYCTRL, &query) == 0) {
    found = name == reinterpret_cast<const char*>(query.name);
    if (!found) query.id |= V4L2_CTRL_FLAG_NEXT_CTRL;
  }
  EXPECT_TRUE(found) << name;
  v4l2_control control{query.id, value};
  EXPECT_EQ(::ioctl(descriptor, VIDIOC_S_CTRL, &control), 0)
      << name << ": " << std::strerror(errno);
  ::close(descriptor);
}

int control_value(int number, std::uint32_t id) {
  const int descriptor = ::open(device(number).c_str(), O_RDWR | O_CLOEXEC);
  v4l2_control control{id, -1};
  ::ioctl(descriptor, VIDIOC_G_CTRL, &control);
  ::close(descriptor);
  return control.value;
}

struct Decoded {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb{};  // [height, width, 3]

  std::array<int, 3> at(int x, int y) const {
    const std::uint8_t* const pixel = rgb.data() + static_cast<std::size_t>(y * width + x) * 3;
    return {pixel[0], pixel[1], pixel[2]};
  }
};

// libjpeg's own way to report errors is fine here: it ends the test program.
Decoded decode(const std::string& jpeg) {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  Decoded out{static_cast<int>(info.output_width), static_cast<int>(info.output_height), {}};
  out.rgb.resize(static_cast<std::size_t>(out.width * out.height * 3));
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = out.rgb.data() + info.output_scanline * info.output_width * std::size_t{3};
    jpeg_read_scanlines(&info, &row, 1);
  }
  EXPECT_EQ(errors.num_warnings, 0);
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return out;
}

// The colours of vivid's first pattern, 75 % bars, from left to right.
void expect_color_bars(const Decoded& picture) {
  constexpr std::array<std::array<int, 3>, 7> kBars = {{{191, 191, 191},
                                                        {191, 191, 0},
                                                        {0, 191, 191},
                                                        {0, 191, 0},
                                                        {191, 0, 191},
                                                        {191, 0, 0},
                                                        {0, 0, 191}}};
  for (int bar = 0; bar < 7; ++bar) {
    const auto color = picture.at((2 * bar + 1) * picture.width / 16, picture.height * 19 / 20);
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(color[c], kBars[static_cast<std::size_t>(bar)][c], 40)
          << "bar " << bar << " " << c;
    }
  }
}

struct Format {
  const char* name;
  const char* width;
  int expected_width;
  int expected_height;
};

class VividFormats : public testing::TestWithParam<Format> {};

TEST_P(VividFormats, PicturesShowTheBars) {
  const Format& format = GetParam();
  const CameraProgram camera(
      kProgram, flags_for(0, {"--format", format.name, "--width", format.width, "--fps", "5"}));
  ASSERT_TRUE(
      wait_for([&] { return camera.metric("fastvlm_camera_live") == 1; }, Milliseconds(5000)));
  const std::string jpeg = camera.get("/snapshot.jpg");
  ASSERT_FALSE(jpeg.empty());
  const Decoded picture = decode(jpeg);
  EXPECT_EQ(picture.width, format.expected_width);
  EXPECT_EQ(picture.height, format.expected_height);
  expect_color_bars(picture);
}

INSTANTIATE_TEST_SUITE_P(
    All, VividFormats,
    testing::Values(Format{"yuyv", "320", 320, 180}, Format{"yuyv", "640", 640, 480},
                    Format{"uyvy", "320", 320, 180}, Format{"yu12", "320", 320, 180},
                    Format{"yu12", "640", 640, 480}, Format{"yu12", "1280", 1280, 720},
                    Format{"nv12", "320", 320, 180}, Format{"nv12", "640", 640, 480}),
    [](const auto& test) { return std::string(test.param.name) + "_" + test.param.width; });

// The last device of vivid.sh; its formats with planes apart are of the same names.
TEST(Vivid, AMultiPlanarDeviceShowsTheBars) {
  for (const char* format : {"yuyv", "yu12", "nv12"}) {
    const CameraProgram camera(
        kProgram, flags_for(kDevices - 1, {"--format", format, "--width", "320", "--fps", "5"}));
    ASSERT_TRUE(
        wait_for([&] { return camera.metric("fastvlm_camera_live") == 1; }, Milliseconds(5000)))
        << format;
    expect_color_bars(decode(camera.get("/snapshot.jpg")));
  }
}

TEST(Vivid, TheCheapestFormatIsChosen) {
  const CameraProgram camera(kProgram, flags_for(0, {"--width", "320", "--fps", "5"}));
  ASSERT_TRUE(
      wait_for([&] { return camera.metric("fastvlm_camera_live") == 1; }, Milliseconds(5000)));
  EXPECT_FALSE(camera.get("/snapshot.jpg").empty());
  // YU12 is compressed where it lies.
  EXPECT_EQ(camera.metric("fastvlm_camera_copied_bytes_total{reason=\"rows\"}"), 0);
}

TEST(Vivid, ControlsReachTheDriver) {
  {
    const CameraProgram camera(
        kProgram, flags_for(0, {"--width", "320", "--fps", "5", "--brightness", "200"}));
    EXPECT_TRUE(
        wait_for([&] { return camera.metric("fastvlm_camera_live") == 1; }, Milliseconds(5000)));
    EXPECT_EQ(control_value(0, V4L2_CID_BRIGHTNESS), 200);
  }
  set_control(0, "Brightness", 128);
}

TEST(Vivid, SequenceNumbersMayWrap) {
  set_control(0, "Wrap Sequence Number", 1);  // they begin at 2^32 - 128
  {
    const CameraProgram camera(kProgram, flags_for(0, {"--width", "320", "--fps", "50"}));
    EXPECT_TRUE(wait_for([&] { return camera.metric("fastvlm_camera_captured_total") > 160; },
                         Milliseconds(20'000)));
    EXPECT_EQ(camera.metric("fastvlm_camera_opened_total"), 1);
    EXPECT_LT(camera.metric("fastvlm_camera_unused_total{reason=\"dropped\"}"), 1e6);
  }
  set_control(0, "Wrap Sequence Number", 0);
}

TEST(Vivid, LostBuffersAreCountedAndNoReasonToStop) {
  const CameraProgram camera(kProgram, flags_for(0, {"--width", "320", "--fps", "25"}));
  set_control(0, "Percentage of Dropped Buffers", 50);
  const std::string dropped = "fastvlm_camera_unused_total{reason=\"dropped\"}";
  EXPECT_TRUE(wait_for([&] { return camera.metric(dropped) >= 20; }, Milliseconds(10'000)));
  EXPECT_EQ(camera.metric("fastvlm_camera_lost_total"), 0);
  set_control(0, "Percentage of Dropped Buffers", 0);
}

// One kind of mishap, and how it shows.
struct Mishap {
  std::vector<std::string> buttons;
  int times;
  bool reopens;  // else a frame is damaged and nothing more
};

const std::vector<Mishap>& mishaps() {
  static const std::vector<Mishap> kAll = {
      {{"Disconnect"}, 50, true},
      {{"Inject V4L2_BUF_FLAG_ERROR"}, 20, false},
      {{"Inject VIDIOC_QBUF Error"}, 20, true},
      {{"Inject Fatal Streaming Error"}, 20, true},
      // These two strike when the camera is opened again.
      {{"Inject VIDIOC_REQBUFS Error", "Inject VIDIOC_QBUF Error"}, 20, true},
      {{"Inject VIDIOC_STREAMON Error", "Inject VIDIOC_QBUF Error"}, 20, true},
  };
  return kAll;
}

struct Usage {
  std::size_t descriptors = 0;
  std::size_t mappings = 0;  // of the device
};

Usage usage_of(pid_t process, int number) {
  const std::string folder = "/proc/" + std::to_string(process);
  Usage usage;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/fd")) {
    static_cast<void>(entry);
    ++usage.descriptors;
  }
  std::ifstream maps(folder + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(device(number))) ++usage.mappings;
  }
  return usage;
}

struct Outcome {
  std::vector<double> recovery_s{};
  double longest_silence_s = 0;  // until the page knew
};

void suffer(const CameraProgram& camera, int number, const Mishap& mishap, Outcome& outcome) {
  const auto seconds_since = [](Clock::time_point time) {
    return std::chrono::duration<double>(Clock::now() - time).count();
  };
  const double opened = camera.metric("fastvlm_camera_opened_total");
  const std::string damaged_name = "fastvlm_camera_unused_total{reason=\"damaged\"}";
  const double damaged = camera.metric(damaged_name);
  const Clock::time_point start = Clock::now();
  for (const std::string& button : mishap.buttons) set_control(number, button, 1);
  if (!mishap.reopens) {
    ASSERT_TRUE(wait_for([&] { return camera.metric(damaged_name) > damaged; }, Milliseconds(3000)))
        << mishap.buttons[0];
  } else {
    ASSERT_TRUE(
        wait_for([&] { return camera.metric("fastvlm_camera_live") == 0; }, Milliseconds(5000)))
        << mishap.buttons[0];
    outcome.longest_silence_s = std::max(outcome.longest_silence_s, seconds_since(start));
  }
  ASSERT_TRUE(wait_for(
      [&] {
        return camera.metric("fastvlm_camera_live") == 1 &&
               (!mishap.reopens || camera.metric("fastvlm_camera_opened_total") > opened);
      },
      Milliseconds(10'000)))
      << mishap.buttons[0];
  outcome.recovery_s.push_back(seconds_since(start));
}

// Each device has its share of the mishaps, all at the same time.
TEST(Vivid, EveryMishapIsSurvived) {
  std::array<Outcome, kDevices> outcomes;
  std::vector<std::thread> threads;
  for (int number = 0; number < kDevices; ++number) {
    threads.emplace_back([number, &outcome = outcomes[static_cast<std::size_t>(number)]] {
      const CameraProgram camera(kProgram, flags_for(number, {"--width", "320", "--fps", "10"}));
      const auto live = [&] { return camera.metric("fastvlm_camera_live") == 1; };
      ASSERT_TRUE(wait_for(live, Milliseconds(10'000)));
      const Usage before = usage_of(camera.process(), number);
      for (const Mishap& mishap : mishaps()) {
        for (int i = number; i < mishap.times; i += kDevices) {
          suffer(camera, number, mishap, outcome);
        }
      }
      const Usage after = usage_of(camera.process(), number);
      EXPECT_LE(after.descriptors, before.descriptors + 1);  // a metrics request may be open
      EXPECT_EQ(after.mappings, before.mappings);
      EXPECT_FALSE(camera.get("/snapshot.jpg").empty());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<double> all;
  double silence = 0;
  for (const Outcome& outcome : outcomes) {
    all.insert(all.end(), outcome.recovery_s.begin(), outcome.recovery_s.end());
    silence = std::max(silence, outcome.longest_silence_s);
  }
  ASSERT_EQ(all.size(), 150U);
  std::sort(all.begin(), all.end());
  const double p99 = all[all.size() * 99 / 100];
  std::printf("150 mishaps: back after %.2f s (median), %.2f s (p99); known after %.2f s at most\n",
              all[all.size() / 2], p99, silence);
  EXPECT_LE(p99, 3.0);
  EXPECT_LE(silence, 2.0);
}

}  // namespace
}  // namespace fvlm::capture
