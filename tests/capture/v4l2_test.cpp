// A camera as V4L2 shows it, with a driver of our own that fails on demand, and what Camera makes
// of one that goes away.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "capture/camera.hpp"
#include "capture/encoder.hpp"
#include "capture/source/pattern_source.hpp"
#include "capture/source/v4l2_source.hpp"
#include "tests/capture/fake_camera.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/capture/pattern_jpeg.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

CameraFormat offered(PixelFormat format, int width, int height) {
  return {0, format, width, height};
}

TEST(CameraFormats, TheCheapestThatIsWideEnoughIsChosen) {
  const std::vector<CameraFormat> all = {
      offered(PixelFormat::kYuyv, 640, 480),   offered(PixelFormat::kYuyv, 1280, 720),
      offered(PixelFormat::kNv12, 640, 480),   offered(PixelFormat::kYu12, 1280, 720),
      offered(PixelFormat::kMjpeg, 320, 240),  offered(PixelFormat::kMjpeg, 1280, 720),
      offered(PixelFormat::kMjpeg, 1920, 1080)};
  const auto choice = [&](int width, std::optional<PixelFormat> only = {}) {
    const CameraFormat chosen = *choose_format(all, width, only);
    return std::pair(*chosen.format, chosen.width);
  };
  EXPECT_EQ(choice(640), std::pair(PixelFormat::kMjpeg, 1280));
  EXPECT_EQ(choice(320), std::pair(PixelFormat::kMjpeg, 320));
  EXPECT_EQ(choice(640, PixelFormat::kYuyv), std::pair(PixelFormat::kYuyv, 640));
  EXPECT_EQ(choice(640, PixelFormat::kNv12), std::pair(PixelFormat::kNv12, 640));
  EXPECT_EQ(choice(4000), std::pair(PixelFormat::kMjpeg, 1920));  // nothing is: then the widest
  EXPECT_FALSE(choose_format(all, 640, PixelFormat::kGrey));
}

TEST(CameraFormats, OfOneWidthTheHighestIsChosen) {
  const std::vector<CameraFormat> all = {offered(PixelFormat::kMjpeg, 640, 360),
                                         offered(PixelFormat::kMjpeg, 640, 480)};
  EXPECT_EQ(choose_format(all, 640, {})->height, 480);
}

class FakeCameraTest : public testing::Test {
 protected:
  const std::shared_ptr<FakeCamera> driver =
      std::make_shared<FakeCamera>(std::vector<FakeCamera::Offer>{
          {V4L2_PIX_FMT_MJPEG, {{640, 480}}}, {V4L2_PIX_FMT_YUYV, {{320, 240}, {640, 480}}}});
  const std::string jpeg = pattern_jpeg(640);
  Counters counters{};
  SourceOptions options{};

  std::unique_ptr<V4l2Source> open() {
    return std::make_unique<V4l2Source>("/dev/video7", options, driver, counters);
  }
  std::string error_of_opening() {
    try {
      open();
    } catch (const SourceError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(FakeCameraTest, FramesLieInTheDriversBuffersAndGoBack) {
  const auto source = open();
  const std::size_t all = driver->queued();
  driver->deliver({jpeg});
  {
    const auto frame = source->next(Milliseconds(100));
    ASSERT_TRUE(frame);
    EXPECT_EQ(driver->queued(), all - 1);
    Encoder encoder({640, 85, 100}, counters);
    const Picture picture = encoder.encode(*frame);
    EXPECT_EQ(picture.pieces[0].data, frame->bytes.data);  // up to the socket
    EXPECT_EQ(joined(picture), jpeg);
  }
  EXPECT_EQ(driver->queued(), all);
}

TEST_F(FakeCameraTest, TheNewestWins) {
  const auto source = open();
  const std::size_t all = driver->queued();
  for (int i = 0; i < 4; ++i) driver->deliver({pattern_jpeg(64 + 16 * i)});
  const auto frame = source->next(Milliseconds(100));
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->number, 4U);
  EXPECT_EQ(counters.replaced.value(), 3U);
  EXPECT_EQ(driver->queued(), all - 1);
}

TEST_F(FakeCameraTest, DamagedFramesAreLeftOut) {
  const auto source = open();
  driver->deliver({jpeg.substr(0, 2000)});         // cut
  driver->deliver({jpeg.substr(0, 2000) + jpeg});  // run into the next
  driver->deliver({jpeg, V4L2_BUF_FLAG_ERROR});    // marked by the driver
  driver->deliver({""});                           // empty
  EXPECT_FALSE(source->next(Milliseconds(10)));
  EXPECT_EQ(counters.damaged.value(), 4U);
  driver->deliver({without_huffman_tables(jpeg) + std::string(100, '\0')});  // odd, but not damaged
  EXPECT_TRUE(source->next(Milliseconds(100)));
}

TEST_F(FakeCameraTest, ShortFramesAreLeftOut) {
  options.format = PixelFormat::kYuyv;
  options.width = 320;
  const auto source = open();
  const std::string whole(320 * 240 * 2, 'x');
  driver->deliver({whole.substr(1)});
  EXPECT_FALSE(source->next(Milliseconds(10)));
  EXPECT_EQ(counters.damaged.value(), 1U);
  driver->deliver({whole});
  EXPECT_TRUE(source->next(Milliseconds(100)));
}

TEST_F(FakeCameraTest, MultiPlanarDriversGiveTheSamePictures) {
  struct Case {
    std::uint32_t code;
    PixelFormat format;
  };
  for (const auto& [code, format] :
       {Case{V4L2_PIX_FMT_MJPEG, PixelFormat::kMjpeg}, Case{V4L2_PIX_FMT_YUYV, PixelFormat::kYuyv},
        Case{V4L2_PIX_FMT_NV12, PixelFormat::kNv12}, Case{V4L2_PIX_FMT_NV12M, PixelFormat::kNv12},
        Case{V4L2_PIX_FMT_YUV420M, PixelFormat::kYu12}}) {
    const auto multi =
        std::make_shared<FakeCamera>(std::vector<FakeCamera::Offer>{{code, {{640, 480}}}}, true);
    {
      V4l2Source source("/dev/video7", options, multi, counters);
      const Frame drawn = *PatternSource(format, 640, 1000).next(Milliseconds(100));
      const std::string bytes(reinterpret_cast<const char*>(drawn.bytes.data), drawn.bytes.size);
      multi->deliver({bytes.substr(0, bytes.size() - 1)});
      EXPECT_FALSE(source.next(Milliseconds(10))) << code_text(code);
      multi->deliver({bytes});
      const auto frame = source.next(Milliseconds(100));
      ASSERT_TRUE(frame) << code_text(code);
      Encoder encoder({640, 85, 100, {}}, counters);
      EXPECT_EQ(joined(encoder.encode(*frame)), joined(encoder.encode(drawn))) << code_text(code);
    }
    EXPECT_EQ(multi->mappings(), 0U);
    EXPECT_EQ(multi->open_descriptors(), 0U);
  }
}

TEST_F(FakeCameraTest, LostFramesAreCountedAlsoWhereNumbersWrap) {
  const auto source = open();
  driver->set_sequence(0xFFFFFFFE);
  driver->deliver({jpeg});
  driver->deliver({jpeg, 0, 3});  // 0xFFFFFFFF, 0 and 1 are lost
  driver->deliver({jpeg});
  EXPECT_TRUE(source->next(Milliseconds(100)));
  EXPECT_EQ(counters.dropped.value(), 3U);
}

TEST_F(FakeCameraTest, ControlsAreSetAndWhatIsMissingIsNoted) {
  options.exposure = 100;
  options.gain = 5;
  options.brightness = 300;
  const auto source = open();
  EXPECT_EQ(driver->controls(),
            (std::map<std::uint32_t, int>{{V4L2_CID_EXPOSURE_AUTO, V4L2_EXPOSURE_MANUAL},
                                          {V4L2_CID_EXPOSURE_ABSOLUTE, 100},
                                          {V4L2_CID_AUTOGAIN, 0}}));
  EXPECT_EQ(source->notes(),
            (std::vector<std::string>{"fake has no control for gain",
                                      "fake: brightness cannot be 300: it goes from 0 to 255"}));
}

TEST_F(FakeCameraTest, AFormatThatIsNotOfferedIsNamed) {
  options.format = PixelFormat::kNv12;
  EXPECT_EQ(error_of_opening(), "/dev/video7: fake offers only MJPG, YUYV; wanted nv12");
}

TEST_F(FakeCameraTest, EveryCallThatFailsIsNamedAndNothingStaysOpen) {
  const std::vector<std::pair<unsigned long, std::string>> calls = {
      {VIDIOC_S_FMT, "VIDIOC_S_FMT"},
      {VIDIOC_REQBUFS, "VIDIOC_REQBUFS"},
      {VIDIOC_QUERYBUF, "VIDIOC_QUERYBUF"},
      {VIDIOC_QBUF, "VIDIOC_QBUF"},
      {VIDIOC_STREAMON, "VIDIOC_STREAMON"}};
  for (const auto& [call, name] : calls) {
    driver->fail(call, EBUSY);
    EXPECT_EQ(error_of_opening(), "/dev/video7: " + name + ": " + meaning_of(EBUSY).text);
    EXPECT_EQ(driver->open_descriptors(), 0U) << name;
    EXPECT_EQ(driver->mappings(), 0U) << name;
  }
  EXPECT_EQ(error_of_opening(), "");
}

TEST_F(FakeCameraTest, WhatEndsAStreamIsNamed) {
  const auto error_of_next = [](FrameSource& source) -> std::string {
    try {
      static_cast<void>(source.next(Milliseconds(100)));
    } catch (const SourceError& error) {
      return error.what();
    }
    return "";
  };
  {
    const auto source = open();
    driver->deliver({jpeg});
    driver->fail(VIDIOC_DQBUF, EIO);
    EXPECT_EQ(error_of_next(*source), "/dev/video7: VIDIOC_DQBUF: Input/output error");
  }
  {
    const auto source = open();
    driver->change_source();
    EXPECT_EQ(error_of_next(*source), "/dev/video7: the source changed");
  }
  {
    // A buffer cannot be given back, which shows with the next one.
    const auto source = open();
    driver->fail(VIDIOC_QBUF, EINVAL);
    EXPECT_TRUE(source->next(Milliseconds(100)));
    driver->deliver({jpeg});
    EXPECT_EQ(error_of_next(*source), "/dev/video7: VIDIOC_QBUF: Invalid argument");
  }
  {
    const auto source = open();
    driver->unplug();
    EXPECT_EQ(error_of_next(*source), "/dev/video7: the camera is gone");
  }
  EXPECT_EQ(driver->open_descriptors(), 0U);
  EXPECT_EQ(driver->mappings(), 0U);
}

TEST_F(FakeCameraTest, AFrameOutlivesItsCamera) {
  auto source = open();
  driver->deliver({jpeg});
  auto frame = source->next(Milliseconds(100));
  ASSERT_TRUE(frame);
  source.reset();
  EXPECT_EQ(driver->open_descriptors(), 0U);  // so that the camera can come back
  EXPECT_GT(driver->mappings(), 0U);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(frame->bytes.data), frame->bytes.size), jpeg);
  frame.reset();
  EXPECT_EQ(driver->mappings(), 0U);
}

TEST_F(FakeCameraTest, CameraOpensAgainWhateverHappens) {
  Mailbox mailbox(counters);
  std::mutex mutex;
  std::vector<std::string> told;
  {
    Camera camera({Milliseconds(60), Milliseconds(60), Milliseconds(5)}, [this] { return open(); },
                  mailbox, counters,
                  {[&](const CameraState& state) {
                     const std::lock_guard lock(mutex);
                     told.push_back((state.live ? "live: " : "lost: ") + state.trouble.text);
                   },
                   [](const std::string&) {}});
    const auto opened = [&](std::uint64_t times) {
      return wait_for([&] { return counters.opened.value() >= times; });
    };
    driver->deliver({jpeg});
    ASSERT_TRUE(wait_for([&] { return counters.captured.value() == 1; }));
    // Silence is a reason, and so is nothing but damage, however much of it.
    ASSERT_TRUE(opened(2));
    std::atomic<bool> more = true;
    std::thread damage([&] {
      while (more) {
        driver->deliver({jpeg.substr(0, 100)});
        std::this_thread::sleep_for(Milliseconds(5));
      }
    });
    EXPECT_TRUE(opened(4));
    more = false;
    damage.join();
    EXPECT_GT(counters.damaged.value(), 5U);
    driver->fail(VIDIOC_STREAMON, EBUSY);
    const auto lost = counters.lost.value();
    EXPECT_TRUE(wait_for([&] { return counters.lost.value() > lost + 1; }));
  }
  EXPECT_EQ(driver->open_descriptors(), 0U);
  EXPECT_EQ(driver->mappings(), 0U);
  const std::lock_guard lock(mutex);
  ASSERT_GE(told.size(), 2U);
  EXPECT_EQ(told[0], "live: /dev/video7 (fake), MJPG 640x480");
  EXPECT_EQ(told[1], "lost: /dev/video7 (fake), MJPG 640x480: no good frame for 0.1 s");
}

}  // namespace
}  // namespace fvlm::capture
