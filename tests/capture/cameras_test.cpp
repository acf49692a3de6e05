// Several cameras of one program, from [[camera]] tables; and what a program says whose camera
// cannot work.
#include <filesystem>
#include <string>
#include <vector>

#include "tests/capture/client_fixture.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/capture/pattern_jpeg.hpp"
#include "tests/support/raw_websocket.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

class CamerasTest : public ClientTest {
 protected:
  std::string config(const std::string& text) {
    write_file(folder / "camera.conf", text);
    return (folder / "camera.conf").string();
  }
  void expect_refused(const std::string& text, const std::string& words) {
    EXPECT_EQ(status_of_run("--port 0 --config " + config(text)), 2) << text;
    EXPECT_TRUE(contains(output(), words)) << output();
  }
};

TEST_F(CamerasTest, EachHasItsPathsItsMetricsAndItsConnection) {
  CameraServer server(describe);
  std::filesystem::create_directory(folder / "scenes");
  write_file(folder / "scenes" / "a.jpg", pattern_jpeg(96));
  const std::string scenes = (folder / "scenes").string();
  const CameraProgram camera(
      FVLM_CAMERA_PROGRAM,
      {"--config",
       config("server = \"" + server.url() +
              "\"\ninterval = \"30ms\"\nwidth = 320\n"
              "[[camera]]\nname = \"door\"\nsource = \"test-pattern\"\nplace = 2\n"
              "crop = [0, 0, 160, 120]\n"
              "[[camera]]\nname = \"yard\"\ntitle = \"院子\"\nsource = \"images:" +
              scenes + "\"\nfps = 20\nsize = 2\nplace = 1\n"),
       "--log-folder", folder.path().string()});
  EXPECT_TRUE(wait_for([&] { return status_of(http_get(camera.port(), "/healthz")) == 200; },
                       Milliseconds(5000)));
  EXPECT_EQ(camera.get("/cameras.json"),
            R"([{"name":"yard","title":"院子","size":2},{"name":"door","title":"door","size":1}])"
            "\n");
  EXPECT_EQ(decode_jpeg(camera.get("/cameras/door/snapshot.jpg")).width, 160);
  EXPECT_EQ(decode_jpeg(camera.get("/cameras/yard/snapshot.jpg")).width, 96);
  EXPECT_EQ(decode_jpeg(camera.get("/snapshot.jpg")).width, 160) << "the first table's";
  EXPECT_EQ(status_of(http_get(camera.port(), "/cameras/roof/snapshot.jpg")), 404);
  EXPECT_EQ(status_of(http_get(camera.port(), "/cameras/door/nothing")), 404);
  EXPECT_TRUE(wait_for([&] { return server.pictures().size() > 6; }, Milliseconds(5000)));
  EXPECT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(camera.metric("fastvlm_camera_live{camera=\"door\"}"), 1);
  EXPECT_GE(camera.metric("fastvlm_camera_sent_total{camera=\"yard\"}"), 1);
  EXPECT_GE(camera.metric("fastvlm_camera_pictures_total{camera=\"yard\",how=\"passed\"}"), 1);

  // One goes away: the other goes on.
  std::filesystem::remove_all(folder / "scenes");
  EXPECT_TRUE(wait_for([&] { return camera.metric("fastvlm_camera_live{camera=\"yard\"}") == 0; },
                       Milliseconds(8000)));
  EXPECT_EQ(camera.metric("fastvlm_camera_live{camera=\"door\"}"), 1);
  EXPECT_EQ(decode_jpeg(camera.get("/cameras/door/snapshot.jpg")).width, 160);
  EXPECT_EQ(status_of(http_get(camera.port(), "/cameras/door/healthz")), 200);
  const std::string health = http_get(camera.port(), "/healthz");
  EXPECT_EQ(status_of(health), 503);
  EXPECT_TRUE(contains(health, "yard: camera lost, server ready")) << health;
}

TEST_F(CamerasTest, OneThatIsNotThereKeepsNoOtherAway) {
  const CameraProgram camera(
      FVLM_CAMERA_PROGRAM,
      {"--server", kNowhere, "--log-folder", folder.path().string(), "--config",
       config("[[camera]]\nname = \"a\"\nsource = \"images:/nowhere\"\n"
              "[[camera]]\nname = \"b\"\nsource = \"test-pattern\"\n")});
  EXPECT_TRUE(
      wait_for([&] { return !camera.get("/cameras/b/snapshot.jpg").empty(); }, Milliseconds(5000)));
  EXPECT_TRUE(wait_for(
      [&] {
        return contains(http_get(camera.port(), "/cameras/a/snapshot.jpg"),
                        "there is no such folder");
      },
      Milliseconds(3000)));
  EXPECT_TRUE(contains(read_file(folder / "client.log"), "a: ❌ camera: /nowhere"));
}

TEST_F(CamerasTest, WrongTablesAreNamed) {
  const std::string good = "[[camera]]\nname = \"a\"\nsource = \"test-pattern\"\n";
  expect_refused(good + "widht = 3\n", ":4:1: there is no key widht: did you mean width?");
  expect_refused(good + "port = 3\n", ":4:1: port is a setting of the program");
  expect_refused("title = \"a\"\n" + good, ":1:1: title is a setting of one camera");
  expect_refused(good + "width = 3\n", ":4:9: --width");
  expect_refused(good + "crop = \"1,2\"\n", ":4:8: --crop: 1,2: expected X,Y,WIDTH,HEIGHT");
  expect_refused(good + "mask = [\"0,0,9,9\", \"1\"]\n", ":4:9: --mask: 1: expected X,Y,");
  expect_refused(good + "server = \"here\"\n", ":4:10: --server: here: not an address");
  expect_refused(good + "interval = \"soon\"\n", ":4:12: --interval: soon: expected a time");
  expect_refused(good + "api-key-file = \"/none\"\n", ":1:1: --api-key-file /none: ");
  expect_refused(good + good, ":5:1: another camera is called a");
  expect_refused("[[camera]]\nname = \"a b\"\nsource = \"test-pattern\"\n", "expected up to 64");
  expect_refused("[[camera]]\nname = \"a\"\n", ":1:1: this camera has no source; add source = ");
  expect_refused("[[camera]]\nsource = \"test-pattern\"\n", "this camera has no name");
  expect_refused("[[camera]]\nname = \"a\"\nsource = \"film\"\n", "film: no such source");
  expect_refused("[camera]\nname = \"a\"\n", "two pairs of brackets");
  expect_refused("[[camara]]\nname = \"a\"\n",
                 ":1:3: there is no table camara: did you mean [[camera]]?");
  expect_refused("source = \"test-pattern\"\n" + good, "there is a source for the whole program");
  expect_refused("soruce = \"test-pattern\"\n",
                 ":1:1: there is no key soruce: did you mean source?");
  expect_refused("source = test-pattern\n", ": a text must stand in quotes");
  expect_refused("interval = \"soon\"\n", ":1:12: --interval: soon: expected a time");
  expect_refused("list = true\n", ":1:1: there is no key list");
  expect_refused(
      good + "place = 1\n[[camera]]\nname = \"b\"\nsource = \"test-pattern\"\nplace = 1\n",
      ":8:1: another camera has place 1");
}

TEST_F(CamerasTest, ASourceThatCannotWorkEndsTheProgramAndSaysWhatHelps) {
  std::filesystem::create_directory(folder / "empty");
  std::filesystem::create_directory(folder / "none");
  write_file(folder / "none" / "a.jpg", "no picture");
  const std::string here = folder.path().string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"images:/nonexist", "/nonexist: there is no such folder; give one"},
      {"images:" + here + "/empty", "/empty: the folder holds no .jpg or .jpeg file; put some"},
      {"images:" + here + "/none", "/none: none of its 1 .jpg files is a whole JPEG"},
      {"images:" + here + "/none/a.jpg", "a file, not a folder; give its folder: --source images:"},
      {"v4l2:/dev/video99", "/dev/video99: there is no such camera; is it plugged in?"},
      {"v4l2:/dev/null", "/dev/null: not a camera of V4L2; fastvlm-camera --list"},
      {"'pipe:nonexist-program -x secret'",
       "pipe:nonexist-program: the shell finds no such command"},
      {"pipe:" + here + "/none/a.jpg", "the shell may not run it"}};
  for (const auto& [source, words] : cases) {
    EXPECT_EQ(status_of_run("--port 0 --quiet --source " + source), 1) << source;
    EXPECT_TRUE(contains(output(), words)) << output();
    EXPECT_FALSE(contains(output(), "secret")) << output();
  }
}

TEST_F(CamerasTest, ACropThatLeavesNothingShowsOnThePage) {
  const auto camera =
      start(kNowhere, {"--source", "test-pattern", "--width", "64", "--crop", "64,0,8,8"});
  RawWebSocket page(camera->port());
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  std::string text = "-";
  while (!text.empty() && !contains(text, "leaves nothing of a picture of 64x48")) {
    text = page.next_text();
  }
  EXPECT_TRUE(contains(text, R"("camera_live":false)")) << text;
}

TEST_F(CamerasTest, QuietSaysErrorsAloneUnlessALogLevelIsGiven) {
  EXPECT_EQ(status_of_run("--quiet --verbose --source test-pattern"), 2);
  const auto log_of = [this](const std::vector<std::string>& flags) {
    std::filesystem::remove(folder / "client.log");
    std::vector<std::string> all = {"--source", "test-pattern", "--prompt", "What?"};
    all.insert(all.end(), flags.begin(), flags.end());
    const auto camera = start(kNowhere, all);
    EXPECT_TRUE(wait_for(
        [&] {
          return contains(read_file(folder / "client.log"), "no server listens on 127.0.0.1:9");
        },
        Milliseconds(3000)));
    return read_file(folder / "client.log");
  };
  const std::string quiet = log_of({"--quiet"});
  EXPECT_FALSE(contains(quiet, "INFO")) << quiet;
  EXPECT_FALSE(contains(quiet, "the prompt is not used")) << quiet;
  EXPECT_TRUE(contains(log_of({"--quiet", "--log-level", "info"}), "INFO"));
}

}  // namespace
}  // namespace fvlm::capture
