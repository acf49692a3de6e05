// The whole client from outside: the program, between a server and viewers that are tests.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "capture/pattern_source.hpp"
#include "tests/camera_jpeg.hpp"
#include "tests/camera_program.hpp"
#include "tests/camera_server.hpp"
#include "tests/raw_websocket.hpp"
#include "tests/temporary_folder.hpp"

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr char kNowhere[] = "ws://127.0.0.1:9/ws";
const std::string kRows = "fastvlm_camera_copied_bytes_total{reason=\"rows\"}";
const std::string kMasked = "fastvlm_camera_copied_bytes_total{reason=\"masked\"}";
const std::string kViewers = "fastvlm_camera_copied_bytes_total{reason=\"viewers\"}";

std::vector<std::string> describe(bool binary, const std::string&) {
  return binary ? std::vector<std::string>{original_description("A tree.")}
                : std::vector<std::string>{};
}

// Answers as ours does with "stream": tokens, then the description.
std::vector<std::string> describe_in_tokens(bool binary, const std::string&) {
  if (!binary) return {};
  return {
      R"({"type":"token","content":"A "})", R"({"type":"token","content":"tree."})",
      R"({"type":"description","content":"A tree.","timestamp":"20261123_081700","frame_id":1})"};
}

class ClientTest : public testing::Test {
 protected:
  std::unique_ptr<CameraProgram> start(const std::string& server,
                                       const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"--server", server, "--log-folder", folder.path().string()};
    flags.insert(flags.end(), more.begin(), more.end());
    return std::make_unique<CameraProgram>(FVLM_CAMERA_PROGRAM, flags);
  }
  // Ends at once, with a status and something to read.
  int status_of_run(const std::string& flags) const {
    const std::string command = std::string(FVLM_CAMERA_PROGRAM) + " --log-folder " +
                                folder.path().string() + " " + flags + " > " +
                                (folder / "output").string() + " 2>&1";
    return WEXITSTATUS(std::system(command.c_str()));
  }
  std::string output() const { return read_file(folder / "output"); }

  const TemporaryFolder folder{};
};

// The next message that is neither ping nor text.
std::string next_binary(RawWebSocket& socket) {
  while (const auto frame = socket.next()) {
    if (frame->opcode == RawWebSocket::kBinary) return frame->payload;
    if (frame->opcode == RawWebSocket::kPing) socket.send(RawWebSocket::kPong, frame->payload);
  }
  return "";
}

// The next text with `part` in it.
std::string next_text_with(RawWebSocket& socket, const std::string& part) {
  std::string text = "-";
  while (!text.empty() && !contains(text, part)) text = socket.next_text();
  return text;
}

TEST_F(ClientTest, AnOriginalServerGetsPicturesAndNothingElse) {
  CameraServer server(describe);
  const auto camera =
      start(server.url(), {"--source", "test-pattern", "--width", "320", "--interval", "20ms"});
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return server.pictures().size() >= 10; }, Milliseconds(5000)));
  EXPECT_EQ(camera->end(SIGTERM), 0);
  EXPECT_TRUE(server.texts().empty());
  EXPECT_EQ(server.violation(), "");
  for (const std::string& jpeg : server.pictures()) EXPECT_EQ(decode_jpeg(jpeg).width, 320);
  EXPECT_TRUE(contains(read_file(folder / "client.log"), "✨ A tree."));
}

TEST_F(ClientTest, FilesArriveAsTheyAre) {
  const auto pattern = [](int width) {
    PatternSource source(PixelFormat::kMjpeg, width, 1000);
    const Frame frame = *source.next(Milliseconds(100));
    return std::string(reinterpret_cast<const char*>(frame.bytes.data), frame.bytes.size);
  };
  const std::vector<std::string> files = {pattern(64), pattern(640), pattern(320)};
  std::filesystem::create_directory(folder / "scenes");
  for (std::size_t i = 0; i < files.size(); ++i) {
    write_file(folder / "scenes" / (std::to_string(i) + ".jpg"), files[i]);
  }
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "images:" + (folder / "scenes").string(),
                                           "--fps", "5", "--interval", "10ms"});
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return server.pictures().size() >= 6; }, Milliseconds(20'000)));
  const std::vector<std::string> pictures = server.pictures();
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(pictures[i], files[i % 3]) << i;
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
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return server.pictures().size() >= 20; }, Milliseconds(5000)));
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
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return camera->metric("fastvlm_camera_captured_total") > 50; }, Milliseconds(5000)));
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

class ClientCost : public ClientTest, public testing::WithParamInterface<Cost> {};

TEST_P(ClientCost, IsSmall) {
#ifdef FVLM_SANITIZED
  GTEST_SKIP() << "sanitizers cost more than what is measured";
#endif
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", GetParam().source, "--fps", "30",
                                           "--interval", GetParam().interval});
  std::this_thread::sleep_for(Milliseconds(1200));  // the pattern is drawn in its first second
  const double busy = camera->metric("process_cpu_seconds_total");
  std::this_thread::sleep_for(Milliseconds(1500));
  const double part = (camera->metric("process_cpu_seconds_total") - busy) / 1.5;
  EXPECT_LT(part, GetParam().limit);
  RecordProperty("percent", std::to_string(100 * part));
}

INSTANTIATE_TEST_SUITE_P(All, ClientCost,
                         testing::Values(Cost{"test-pattern:mjpeg", "33ms", 0.03},
                                         Cost{"test-pattern:yuyv", "1s", 0.01},
                                         Cost{"test-pattern:yuyv", "33ms", 0.15}));

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
    return CameraProgram::wait_for(
        [&] { return camera->metric("fastvlm_camera_sent_total") >= many; }, Milliseconds(600'000));
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
  EXPECT_TRUE(CameraProgram::wait_for(described, Milliseconds(5000)));
  const double descriptors = camera->metric("process_open_fds");
  for (int i = 0; i < restarts; ++i) {
    server.reset();
    std::this_thread::sleep_for(Milliseconds(100));
    server = std::make_unique<CameraServer>(describe, port);
    ASSERT_TRUE(CameraProgram::wait_for(described, Milliseconds(6000))) << i;
  }
  EXPECT_LE(camera->metric("process_open_fds"), descriptors + 1);
  EXPECT_EQ(camera->metric("fastvlm_camera_connections_total{event=\"opened\"}"), restarts + 1);
}

TEST_F(ClientTest, TheServersKeyIsSent) {
  CameraServer server(describe);
  write_file(folder / "key", "secret\n");
  const auto camera = start(
      server.url(), {"--source", "test-pattern", "--api-key-file", (folder / "key").string()});
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return !server.requests().empty(); }, Milliseconds(5000)));
  EXPECT_TRUE(contains(server.requests().at(0), "\r\nAuthorization: Bearer secret\r\n"));
}

TEST_F(ClientTest, AnOriginalPageGetsFramesAndDescriptions) {
  CameraServer server(describe);
  const auto camera =
      start(server.url(), {"--source", "test-pattern", "--width", "160", "--interval", "50ms"});
  RawWebSocket page(camera->port());
  const std::string frame = next_text_with(page, "frame");
  EXPECT_EQ(frame.substr(0, 40), R"({"type":"frame","data":"/9j/4AAQSkZJRgAB)");
  EXPECT_EQ(next_text_with(page, "description"), original_description("A tree."));
}

TEST_F(ClientTest, OurPageGetsBinaryFramesTokensAndState) {
  CameraServer server(describe_in_tokens);
  const auto camera = start(server.url(), {"--source", "test-pattern", "--width", "160",
                                           "--interval", "50ms", "--stream", "--prompt", "What?"});
  const std::string described = "fastvlm_camera_answers_total{outcome=\"described\"}";
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return camera->metric(described) >= 1; }, Milliseconds(5000)));
  RawWebSocket page(camera->port());
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  EXPECT_TRUE(contains(next_text_with(page, "history"), "A tree."));
  const std::string state = next_text_with(page, "state");
  EXPECT_TRUE(contains(state, R"("server":"ready")")) << state;
  EXPECT_TRUE(contains(state, R"("prompt":"What?")")) << state;
  EXPECT_EQ(decode_jpeg(next_binary(page)).width, 160);
  EXPECT_EQ(next_text_with(page, "A \""), R"({"type":"token","content":"A "})");

  page.send(RawWebSocket::kText, R"({"type":"configure","prompt":"Which tree?","interval":0.02})");
  EXPECT_TRUE(contains(next_text_with(page, "Which tree?"), R"("type":"state")"));
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return contains(server.texts().back(), R"("prompt":"Which tree?")"); },
      Milliseconds(2000)));
}

TEST_F(ClientTest, AViewerThatDoesNotReadHoldsUpNobody) {
  const auto camera = start(kNowhere, {"--source", "test-pattern:mjpeg", "--width", "1280", "--fps",
                                       "200", "--page-fps", "200"});
  RawWebSocket stalled(camera->port());
  RawSocket stalled_stream(camera->port());
  stalled_stream.send("GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  RawWebSocket page(camera->port());
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(next_binary(page).empty());
  const double before = camera->metric("process_resident_memory_bytes");
  for (int i = 0; i < 150; ++i) ASSERT_FALSE(next_binary(page).empty());
#ifndef FVLM_SANITIZED  // which keep what was freed
  EXPECT_LT(camera->metric("process_resident_memory_bytes") - before, 4e6);
#endif
}

TEST_F(ClientTest, OtherProgramsGetPicturesOverHttp) {
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "test-pattern:nv12", "--width", "320"});
  EXPECT_TRUE(CameraProgram::wait_for([&] { return !camera->get("/healthz").empty(); },
                                      Milliseconds(5000)));
  EXPECT_EQ(decode_jpeg(camera->get("/snapshot.jpg")).height, 240);
  RawSocket stream(camera->port());
  stream.send("GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_TRUE(contains(stream.read_until("\r\n\r\n"), "boundary=fastvlm-frame"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(stream.read_until("\r\n"), "--fastvlm-frame\r\n");
    const std::string head = stream.read_until("\r\n\r\n");
    const std::size_t size = std::stoul(head.substr(head.find("Content-Length: ") + 16));
    EXPECT_EQ(decode_jpeg(stream.read_bytes(size)).width, 320);
    EXPECT_EQ(stream.read_bytes(2), "\r\n");
  }
  // More than can be connected at a time: each goes when it is answered.
  for (int i = 0; i < 150; ++i) ASSERT_FALSE(camera->get("/static/camera.js").empty()) << i;
}

TEST_F(ClientTest, HttpErrorsSayWhatIsWrong) {
  const auto camera = start(kNowhere, {"--source", "images:/nowhere"});
  const std::uint16_t port = camera->port();
  EXPECT_EQ(status_of(http_get(port, "/")), 200);
  EXPECT_EQ(status_of(http_get(port, "/nothing")), 404);
  EXPECT_EQ(status_of(http(port, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 405);
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return contains(http_get(port, "/snapshot.jpg"), "/nowhere: No such file"); },
      Milliseconds(2000)));
  EXPECT_EQ(status_of(http_get(port, "/healthz")), 503);
  RawWebSocket page(port);
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  EXPECT_TRUE(contains(next_text_with(page, "state"), "/nowhere: No such file"));
}

TEST_F(ClientTest, StrangersAreKeptOut) {
  write_file(folder / "key", "secret\n");
  const auto open = start(kNowhere, {"--source", "test-pattern"});
  EXPECT_EQ(status_of(http(open->port(), "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(http_get(open->port(), "/metrics", "Origin: http://evil.example\r\n")), 403);
  EXPECT_THROW(RawWebSocket(open->port(), "Origin: http://evil.example\r\n"), std::runtime_error);
  const auto locked =
      start(kNowhere, {"--source", "test-pattern", "--open-to-all", "--host", "0.0.0.0"});
  EXPECT_EQ(status_of(http(locked->port(), "GET / HTTP/1.1\r\nHost: pi.local\r\n\r\n")), 200);
  EXPECT_EQ(status_of_run("--host 0.0.0.0 --port 0"), 1);
  EXPECT_TRUE(contains(output(), "--page-key-file")) << output();
}

TEST_F(ClientTest, AKeyOpensThePage) {
  write_file(folder / "key", "secret\n");
  const auto camera =
      start(kNowhere, {"--source", "test-pattern", "--page-key-file", (folder / "key").string()});
  const auto status = [&](const std::string& headers) {
    return status_of(http_get(camera->port(), "/", headers));
  };
  EXPECT_EQ(status(""), 401);
  EXPECT_EQ(status("Authorization: Bearer other\r\n"), 401);
  EXPECT_EQ(status("Authorization: Bearer secret\r\n"), 200);
  EXPECT_EQ(status("Authorization: Basic OnNlY3JldA==\r\n"), 200);  // ":secret"
  EXPECT_THROW(RawWebSocket(camera->port()), std::runtime_error);
  EXPECT_NO_THROW(RawWebSocket(camera->port(), "Authorization: Bearer secret\r\n"));
}

TEST_F(ClientTest, ACommandThatEndsIsStartedAgain) {
  const auto camera = start(kNowhere, {"--source", "pipe:exit 1"});
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return camera->metric("fastvlm_camera_lost_total") >= 2; }, Milliseconds(5000)));
}

TEST_F(ClientTest, SettingsMayComeFromAFile) {
  CameraServer server(describe);
  write_file(folder / "camera.conf",
             "# a comment\nsource = test-pattern\nwidth = 160\ninterval = 20ms\n"
             "server = " +
                 server.url() + "\n");
  const std::vector<std::string> flags = {"--config", (folder / "camera.conf").string(),
                                          "--log-folder", folder.path().string()};
  const CameraProgram camera(FVLM_CAMERA_PROGRAM, flags);
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return server.pictures().size() >= 3; }, Milliseconds(5000)));
  EXPECT_EQ(decode_jpeg(server.pictures().at(0)).width, 160);
}

TEST_F(ClientTest, ThePackagesSettingsAreUnderstood) {
  const auto camera = start(kNowhere, {"--config", FVLM_SOURCE "/capture/deploy/camera.conf",
                                       "--source", "test-pattern"});
  EXPECT_FALSE(camera->get("/").empty());
}

TEST_F(ClientTest, WhatTheServerSaysStaysOneLineOfTheLog) {
  CameraServer server([](bool, const std::string&) {
    return std::vector<std::string>{original_description("one\\ntwo\\u001b[2J")};
  });
  const auto camera = start(server.url(), {"--source", "test-pattern", "--width", "64"});
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return contains(read_file(folder / "client.log"), "✨ one two [2J\n"); },
      Milliseconds(5000)));
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
  EXPECT_EQ(status_of_run("--server http://x"), 1);
  EXPECT_TRUE(contains(output(), "ws://HOST:PORT/ws")) << output();
  EXPECT_EQ(status_of_run("--source nothing"), 1);
  EXPECT_TRUE(contains(output(), "nothing: no such source")) << output();
  EXPECT_EQ(status_of_run("--quality 101"), 2);
  EXPECT_EQ(status_of_run("--version"), 0);
}

}  // namespace
}  // namespace fvlm::capture
