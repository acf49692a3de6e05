// The whole client from outside: the program between a source and a server.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <regex>
#include <set>
#include <thread>

#include "tests/capture/client_fixture.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/capture/pattern_jpeg.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

const std::string kRows = "fastvlm_camera_copied_bytes_total{reason=\"rows\"}";
const std::string kMasked = "fastvlm_camera_copied_bytes_total{reason=\"masked\"}";
const std::string kViewers = "fastvlm_camera_copied_bytes_total{reason=\"viewers\"}";

TEST_F(ClientTest, AnOriginalServerGetsPicturesAndNothingElse) {
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "test-pattern", "--width", "320",
                                           "--interval", "20ms", "--log-answers"});
  EXPECT_TRUE(wait_for([&] { return server.pictures().size() >= 10; }, Milliseconds(5000)));
  EXPECT_EQ(camera->end(SIGTERM), 0);
  EXPECT_TRUE(server.texts().empty());
  EXPECT_EQ(server.violation(), "");
  for (const std::string& jpeg : server.pictures()) EXPECT_EQ(decode_jpeg(jpeg).width, 320);
  EXPECT_TRUE(contains(read_file(folder / "client.log"), "✨ A tree."));
}

TEST_F(ClientTest, FilesArriveAsTheyAre) {
  const std::vector<std::string> files = {pattern_jpeg(64), pattern_jpeg(640), pattern_jpeg(320)};
  std::filesystem::create_directory(folder / "scenes");
  for (std::size_t i = 0; i < files.size(); ++i) {
    write_file(folder / "scenes" / (std::to_string(i) + ".jpg"), files[i]);
  }
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "images:" + (folder / "scenes").string(),
                                           "--fps", "5", "--interval", "10ms"});
  const auto seen = [&] {
    const std::vector<std::string> pictures = server.pictures();
    return std::set<std::string>(pictures.begin(), pictures.end());
  };
  EXPECT_TRUE(wait_for([&] { return seen().size() >= 3; }, Milliseconds(20'000)));
  EXPECT_TRUE(seen() == std::set<std::string>(files.begin(), files.end()));
}

TEST_F(ClientTest, TwoSignalsEndItAsWellAsOne) {
  const auto camera = start(kNowhere, {"--source", "test-pattern"});
  ::kill(camera->process(), SIGTERM);
  std::this_thread::sleep_for(Milliseconds(30));
  EXPECT_EQ(camera->end(SIGINT), 0);
}

TEST_F(ClientTest, ACamerasJpegIsMovedOnceAndThatIsItsMask) {
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "test-pattern:mjpeg", "--interval", "10ms"});
  EXPECT_TRUE(wait_for([&] { return server.pictures().size() >= 20; }, Milliseconds(5000)));
  const std::string metrics = camera->get("/metrics");
  const auto value = [&](const std::string& name) {
    return std::stod(metrics.substr(metrics.find("\n" + name + " ") + name.size() + 2));
  };
  EXPECT_EQ(value(kMasked), value("fastvlm_camera_sent_bytes_total"));
  EXPECT_EQ(value(kRows), 0);
  EXPECT_EQ(value(kViewers), 0);
  EXPECT_GE(value("fastvlm_camera_pictures_total{how=\"passed\"}"),
            value("fastvlm_camera_sent_total"));
}

TEST_F(ClientTest, FramesThatNobodyWillSeeAreNotCompressed) {
  const auto camera = start(kNowhere, {"--source", "test-pattern:yuyv", "--fps", "200"});
  EXPECT_TRUE(wait_for([&] { return camera->metric("fastvlm_camera_captured_total") > 50; },
                       Milliseconds(5000)));
  EXPECT_EQ(camera->metric("fastvlm_camera_pictures_total{how=\"compressed\"}"), 0);
  EXPECT_FALSE(camera->get("/snapshot.jpg").empty());
  EXPECT_EQ(camera->metric("fastvlm_camera_pictures_total{how=\"compressed\"}"), 1);
  EXPECT_EQ(camera->metric(kRows), 640 * 480 * 2);
}

// Processor time as a part of one core, at 640x480, with the server's share of the work left out.
struct Cost {
  const char* source;
  const char* interval;
  double limit;
};

// "test-pattern:mjpeg" -> "mjpeg".
std::string format_name(const std::string& source) {
  return source.substr(source.find(':') + 1);
}

class ClientCost : public ClientTest, public testing::WithParamInterface<Cost> {};

TEST_P(ClientCost, IsSmall) {
#ifdef FVLM_SANITIZED
  GTEST_SKIP() << "sanitizers cost more than what is measured";
#endif
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", GetParam().source, "--fps", "30",
                                           "--interval", GetParam().interval});
  // The pattern is drawn while it is shown for the first time.
  ASSERT_TRUE(wait_for([&] { return camera->metric("fastvlm_camera_captured_total") > 30; },
                       Milliseconds(20'000)));
  // Others' load makes caches cold and so adds to it: the best of three counts.
  double part = 1;
  for (int i = 0; i < 3 && part >= GetParam().limit; ++i) {
    const double busy = camera->metric("process_cpu_seconds_total");
    std::this_thread::sleep_for(Milliseconds(2000));
    part = (camera->metric("process_cpu_seconds_total") - busy) / 2;
  }
  EXPECT_LT(part, GetParam().limit);
  RecordProperty("percent", std::to_string(100 * part));
}

INSTANTIATE_TEST_SUITE_P(All, ClientCost,
                         testing::Values(Cost{"test-pattern:mjpeg", "33ms", 0.03},
                                         Cost{"test-pattern:yuyv", "1s", 0.01},
                                         Cost{"test-pattern:yuyv", "33ms", 0.15}),
                         [](const auto& test) {
                           return format_name(test.param.source) + "_every_" + test.param.interval;
                         });

// Every frame of a day at one a second, if FVLM_FRAMES says 86400; by default enough to see a leak
// of a picture in twenty.
TEST_F(ClientTest, MemoryStaysFlat) {
#ifdef FVLM_SANITIZED
  GTEST_SKIP() << "sanitizers keep what was freed";
#endif
  const char* const wanted = std::getenv("FVLM_FRAMES");
  const double frames = wanted == nullptr ? 1500 : std::atof(wanted);
  CameraServer server(
      [](bool, const std::string&) {
        return std::vector<std::string>{original_description("A tree.")};
      },
      0, false);
  const auto camera =
      start(server.url(), {"--source", "test-pattern:mjpeg", "--fps", "5000", "--interval", "1ms"});
  const auto sent = [&](double many) {
    return wait_for([&] { return camera->metric("fastvlm_camera_sent_total") >= many; },
                    Milliseconds(600'000));
  };
  ASSERT_TRUE(sent(500));
  const double before = camera->metric("process_resident_memory_bytes");
  ASSERT_TRUE(sent(500 + frames));
  const double growth = camera->metric("process_resident_memory_bytes") - before;
  EXPECT_LT(growth, 3e5);
  RecordProperty("growth", std::to_string(growth));
}

TEST_F(ClientTest, AServerThatComesBackIsFoundAgain) {
  const char* const times = std::getenv("FVLM_RESTARTS");  // more for a long test
  const int restarts = times == nullptr ? 5 : std::atoi(times);
  auto server = std::make_unique<CameraServer>(describe);
  const std::uint16_t port = server->port();
  const auto camera = start(
      server->url(), {"--source", "test-pattern:mjpeg", "--width", "320", "--interval", "5ms"});
  const auto described = [&] { return !server->pictures().empty(); };
  EXPECT_TRUE(wait_for(described, Milliseconds(5000)));
  const double descriptors = camera->metric("process_open_fds");
  for (int i = 0; i < restarts; ++i) {
    server.reset();
    std::this_thread::sleep_for(Milliseconds(100));
    server = std::make_unique<CameraServer>(describe, port);
    ASSERT_TRUE(wait_for(described, Milliseconds(6000))) << i;
  }
  EXPECT_LE(camera->metric("process_open_fds"), descriptors + 1);
  EXPECT_EQ(camera->metric("fastvlm_camera_connections_total{event=\"opened\"}"), restarts + 1);
}

TEST_F(ClientTest, TheServersKeyIsSent) {
  CameraServer server(describe);
  write_file(folder / "key", "secret\n");
  const auto camera = start(
      server.url(), {"--source", "test-pattern", "--api-key-file", (folder / "key").string()});
  EXPECT_TRUE(wait_for([&] { return !server.requests().empty(); }, Milliseconds(5000)));
  EXPECT_TRUE(contains(server.requests().at(0), "\r\nAuthorization: Bearer secret\r\n"));
}

TEST_F(ClientTest, ACommandThatEndsIsStartedAgain) {
  const auto camera = start(kNowhere, {"--source", "pipe:exit 1"});
  EXPECT_TRUE(wait_for([&] { return camera->metric("fastvlm_camera_lost_total") >= 2; },
                       Milliseconds(5000)));
}

TEST_F(ClientTest, SettingsMayComeFromAFile) {
  CameraServer server(describe);
  write_file(folder / "camera.conf",
             "# a comment\nsource = \"test-pattern\"\nwidth = 160\ninterval = 0.02\n"
             "server = \"" +
                 server.url() + "\"\n");
  const std::vector<std::string> flags = {"--config", (folder / "camera.conf").string(),
                                          "--log-folder", folder.path().string()};
  const CameraProgram camera(FVLM_CAMERA_PROGRAM, flags);
  EXPECT_TRUE(wait_for([&] { return server.pictures().size() >= 3; }, Milliseconds(5000)));
  EXPECT_EQ(decode_jpeg(server.pictures().at(0)).width, 160);
}

TEST_F(ClientTest, ThePackagesSettingsAreUnderstood) {
  const auto camera = start(kNowhere, {"--config", FVLM_SOURCE "/capture/deploy/camera.conf",
                                       "--source", "test-pattern"});
  EXPECT_FALSE(camera->get("/").empty());
}

// Lines that are commented out count as soon as they are not; all of them together, but for the
// source above the tables and for what needs files.
TEST_F(ClientTest, ThePackagesOtherSettingsAreUnderstood) {
  std::string text = read_file(FVLM_SOURCE "/capture/deploy/camera.conf");
  const auto change = [&text](const char* pattern, const char* with) {
    const std::string changed = std::regex_replace(text, std::regex(pattern), with);
    EXPECT_NE(changed, text) << pattern;
    text = changed;
  };
  change("\n# ([a-z-]+ = |\\[\\[)", "\n$1");
  change("\nsource = \"(pipe|v4l2\"\n)", "\n# $1");
  change("\nport = 8080", "\nport = 0");
  change("\nhost = .*", "");
  change("\npage-key-file = .*", "");
  write_file(folder / "all.conf", text);
  const CameraProgram camera(FVLM_CAMERA_PROGRAM,
                             {"--config", (folder / "all.conf").string(), "--wait-for-camera",
                              "--log-folder", folder.path().string()});
  EXPECT_TRUE(contains(camera.get("/camera/cameras.json"), "Front door"));
}

TEST_F(ClientTest, WhatTheServerSaysStaysOneLineOfTheLog) {
  CameraServer server([](bool, const std::string&) {
    return std::vector<std::string>{original_description("one\\ntwo\\u001b[2J")};
  });
  const auto camera =
      start(server.url(), {"--source", "test-pattern", "--width", "64", "--log-answers"});
  EXPECT_TRUE(
      wait_for([&] { return contains(read_file(folder / "client.log"), "✨ one two [2J\n"); },
               Milliseconds(5000)));
}

TEST_F(ClientTest, ItsLogHasDescriptionsOnlyIfThatIsWantedAndMayBeJson) {
  CameraServer server(describe);
  const auto camera =
      start(server.url(), {"--source", "test-pattern", "--width", "64", "--log-format", "json"});
  EXPECT_TRUE(wait_for(
      [&] { return contains(read_file(folder / "client.log"), "\"message\":\"✨ 7 bytes\"}\n"); },
      Milliseconds(5000)));
  EXPECT_FALSE(contains(read_file(folder / "client.log"), "A tree."));
  EXPECT_TRUE(camera->get("/metrics").find("process_start_time_seconds") != std::string::npos);
}

TEST_F(ClientTest, AServiceManagerIsToldHowItGoes) {
  const std::string path = (folder / "notify").string();
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto told = [socket] {
    std::array<char, 64> text{};
    const ssize_t size = ::recv(socket, text.data(), text.size(), 0);
    return std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  };
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  const auto camera = start(kNowhere, {"--source", "test-pattern"});
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(told(), "READY=1");
  EXPECT_EQ(told(), "WATCHDOG=1");
  EXPECT_EQ(camera->end(SIGTERM), 0);
  EXPECT_EQ(told(), "STOPPING=1");
  ::close(socket);
}

TEST_F(ClientTest, WrongFlagsAreNamed) {
  EXPECT_EQ(status_of_run("--interval soon"), 2);
  EXPECT_TRUE(contains(output(), "soon: expected a time such as 1s")) << output();
  EXPECT_EQ(status_of_run("--server http://x"), 2);
  EXPECT_TRUE(contains(output(), "ws://HOST:PORT/ws")) << output();
  EXPECT_EQ(status_of_run("--source nothing"), 2);
  EXPECT_TRUE(contains(output(), "nothing: no such source")) << output();
  EXPECT_EQ(status_of_run("--source 'pip:ffmpeg -i rtsp://me:hunter2@camera/'"), 2);
  EXPECT_TRUE(contains(output(), "pip: no such source")) << output();
  EXPECT_FALSE(contains(output(), "hunter2")) << output();
  for (const auto& [flags, words] : std::vector<std::pair<std::string, std::string>>{
           {"--quality 101", "--quality: \"101\" is not a whole number from 1 to 100"},
           {"--quality", "--quality needs a value"},
           {"--max-new-tokens 0", "\"0\" is not a whole number above 0"},
           {"--rotate 45", "--rotate: \"45\" is none of 0, 90, 180, 270"},
           {"--bogus 1", "unknown flag --bogus; run fastvlm-camera --help"},
           {"--sorce x", "unknown flag --sorce: did you mean --source? Run fastvlm-camera --help"},
           {"--fps 5 --fps 6", "--fps is given 2 times, and has one value; keep one of them; run"},
           {"--quiet --verbose", "--quiet and --verbose exclude each other"},
           {"--log-format json --fps x", "\"message\":\"--fps: \\\"x\\\" is not a number"},
           {"--log-format json --page-key-file /none",
            "\"message\":\"--page-key-file /none: cannot be opened: No such file"},
           {"--host no.such.name.invalid --open-to-all --source test-pattern",
            "--host no.such.name.invalid: no address has this name"}}) {
    EXPECT_NE(status_of_run(flags), 0) << flags;
    EXPECT_TRUE(contains(output(), words)) << flags << ": " << output();
  }
  EXPECT_EQ(status_of_run("--version"), 0);
}

}  // namespace
}  // namespace fvlm::capture
