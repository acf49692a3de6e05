// Sources that are no cameras, folders and commands; and the mailbox that all of them fill.
#include <gtest/gtest.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "capture/link/mailbox.hpp"
#include "capture/source/image_source.hpp"
#include "capture/source/pattern_source.hpp"
#include "capture/source/pipe_source.hpp"
#include "tests/capture/pattern_jpeg.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

TEST(Mailbox, GivesTheNewestAndOnlyIfItIsWanted) {
  Counters counters;
  Mailbox mailbox(counters);
  std::atomic<int> taken = 0;
  std::thread taker([&] {
    while (const auto frame = mailbox.take()) taken = static_cast<int>(frame->number);
  });
  Frame frame;
  for (int i = 1; i <= 3; ++i) {
    frame.number = static_cast<std::uint64_t>(i);
    mailbox.put(frame);
  }
  std::this_thread::sleep_for(Milliseconds(20));
  EXPECT_EQ(taken, 0);  // nobody asked
  mailbox.want();
  EXPECT_TRUE(wait_for([&] { return taken == 3; }));
  EXPECT_EQ(counters.replaced.value(), 2U);
  mailbox.want();
  mailbox.clear();
  frame.number = 9;
  mailbox.put(frame);
  EXPECT_TRUE(wait_for([&] { return taken == 9; }));
  mailbox.close();
  taker.join();
}

TEST(ImageSource, ShowsAFoldersPicturesInOrder) {
  const TemporaryFolder folder;
  write_file(folder / "b.JPEG", pattern_jpeg(96));
  write_file(folder / "a.jpg", pattern_jpeg(64));
  write_file(folder / "c.jpg", "no picture");
  write_file(folder / "d.png", "not looked at");
  Counters counters;
  ImageSource source(folder.path(), 1000, counters);
  std::vector<int> widths;
  for (int i = 0; i < 6; ++i) {
    if (const auto frame = source.next(Milliseconds(100))) widths.push_back(frame->width);
  }
  EXPECT_EQ(widths, (std::vector<int>{64, 96, 64, 96}));
  EXPECT_EQ(counters.damaged.value(), 2U);
}

TEST(ImageSource, AnEmptyFolderIsAnError) {
  const TemporaryFolder folder;
  Counters counters;
  EXPECT_THROW(ImageSource(folder.path(), 1, counters), SourceError);
  EXPECT_THROW(ImageSource(folder / "absent", 1, counters), SourceError);
}

class PipeSourceTest : public testing::Test {
 protected:
  PipeSourceTest() {
    write_file(folder / "a.jpg", pattern_jpeg(64));
    write_file(folder / "b.jpg", pattern_jpeg(96));
  }
  std::string in_folder(const std::string& command) const {
    return "cd " + folder.path().string() + "; " + command;
  }
  const TemporaryFolder folder{};
  Counters counters{};
};

TEST_F(PipeSourceTest, ReadsPicturesAndSaysHowTheCommandEnded) {
  PipeSource source(in_folder("cat a.jpg; sleep 0.1; cat b.jpg; exit 3"), counters);
  std::vector<int> widths;
  std::string ending;
  try {
    while (true) {
      if (const auto frame = source.next(Milliseconds(2000))) widths.push_back(frame->width);
    }
  } catch (const SourceError& error) {
    ending = error.what();
  }
  EXPECT_EQ(widths, (std::vector<int>{64, 96}));
  EXPECT_TRUE(ending.ends_with(": ended with status 3") || ending.ends_with(": closed its output"))
      << ending;
}

TEST_F(PipeSourceTest, OfManyTheNewestWins) {
  PipeSource source(in_folder("cat a.jpg a.jpg a.jpg b.jpg; touch done; sleep 10"), counters);
  ASSERT_TRUE(wait_for([&] { return std::filesystem::exists(folder / "done"); }));
  const auto frame = source.next(Milliseconds(2000));
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->width, 96);
  EXPECT_EQ(counters.replaced.value(), 3U);
}

// Whether a process is there, and not only as an entry that nobody has asked for yet.
bool runs(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string number;
  std::string name;
  std::string state;
  return (file >> number >> name >> state) && state != "Z";
}

TEST_F(PipeSourceTest, TheCommandEndsWithTheSource) {
  {
    PipeSource source(in_folder("sleep 100 & echo $$ $! > pids; cat a.jpg; "
                                "trap '' TERM; while :; do sleep 0.1; done"),
                      counters);
    ASSERT_TRUE(source.next(Milliseconds(2000)));
  }
  std::ifstream file(folder / "pids");
  pid_t shell = 0;
  pid_t child = 0;
  file >> shell >> child;
  ASSERT_GT(child, 0);
  EXPECT_TRUE(wait_for([&] { return !runs(shell) && !runs(child); }));
}

TEST(Source, NothingButTheNameOfACommandIsShown) {
  EXPECT_EQ(public_name("pipe:ffmpeg -i rtsp://me:secret@camera/ -f mjpeg -"), "pipe:ffmpeg");
  EXPECT_EQ(public_name("images:/my pictures"), "images:/my pictures");
  Counters counters;
  EXPECT_EQ(PipeSource("true secret", counters).description(), "pipe:true");
}

TEST(Source, NamesThatAreNoneAreRefused) {
  for (const char* name : {"", "v4l", "images:", "images", "pipe:", "test-pattern:rgb"}) {
    EXPECT_THROW(check_source(name), SourceError) << name;
  }
  for (const char* name :
       {"v4l2", "v4l2:0", "v4l2:/dev/video3", "images:/x:y", "pipe:a b", "test-pattern:nv12"}) {
    EXPECT_NO_THROW(check_source(name)) << name;
  }
}

}  // namespace
}  // namespace fvlm::capture
