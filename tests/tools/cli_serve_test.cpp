// fastvlm serve: starts, writes its log, stops on a signal, and refuses what it should.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/raw_websocket.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

class Serve : public ::testing::Test {
 protected:
  Arguments arguments(const Arguments& more = {}) const {
    return with({"serve", "--model-path", (kGoldenTiny / "checkpoint").string(), "--threads", "1",
                 "--log-folder", folder_.path().string()},
                more);
  }
  // Without the lines of the log, which may come before.
  static void expect_named(const Exit& exit, const std::string& part) {
    EXPECT_EQ(exit.code, 2);
    EXPECT_PRED2(contains, exit.errors, "fastvlm: ");
    EXPECT_PRED2(contains, exit.errors, part);
  }

  TemporaryFolder folder_;
};

TEST_F(Serve, StopsOnSignalsAndKeepsALog) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Program server(arguments({"--port", "0"}));
    ASSERT_TRUE(server.await_error("ready: http://127.0.0.1:"));
    server.send_signal(signal);
    EXPECT_EQ(server.finish().code, 0);
  }
  const std::string log = read_file(folder_ / "server.log");
  EXPECT_PRED2(contains, log, "] INFO: 🚀 ");
  EXPECT_PRED2(contains, log, "] INFO: stopped");
}

TEST_F(Serve, NamesWhatIsWrong) {
  expect_named(run_program(arguments({"--host", "0.0.0.0"})), "--api-key");
  expect_named(run_program(arguments({"--port", "65536"})), "--port");
  expect_named(run_program(arguments({"--host", "192.0.2.1", "--open-to-all"})), "192.0.2.1");
  expect_named(run_program(arguments({"--host", "0.0.0.0"})), "give --api-key-file FILE, or");
  expect_named(run_program(arguments({"--api-key-file", "/none"})), "/none");
  expect_named(run_program(arguments({"--max_new_tokens", "0"})), "--max_new_tokens");
  expect_named(run_program(arguments({"--tls-cert", "/none"})), "--tls-key");
  expect_named(run_program(arguments({"--tls-cert", "/none", "--tls-key", "/none"})), "/none");
  expect_refusal(run_program({"serve"}), {"--model-path is required"});
  const std::string model = (kGoldenTiny / "checkpoint").string();
  expect_refusal(run_program({"serve", model}), {"unexpected argument " + model +
                                                 ": did you mean --model-path " + model + "? Run"});
  expect_named(run_program(arguments({"--host", "no.such.name.invalid", "--open-to-all"})),
               "--host no.such.name.invalid: no address has this name");
  expect_named(run_program(arguments({"--host", "192.0.2.1", "--open-to-all"})),
               "this machine has no such address");
  expect_named(run_program(arguments({"--api-key-file", "/none"})),
               "--api-key-file /none: cannot be opened: No such file");
  expect_named(run_program(arguments({"--api-key-list", "/none"})),
               "--api-key-list /none: cannot be opened: No such file");
  expect_named(run_program(arguments({"--api-key", ""})), "--api-key: an empty key is none");
  expect_named(run_program(arguments({"--tls-cert", "/none", "--tls-key", "/none"})),
               "--tls-cert /none: cannot be opened: No such file");
  const std::string text = (folder_ / "text").string();
  write_file(text, "no certificate");
  expect_named(run_program(arguments({"--tls-cert", text, "--tls-key", text})),
               "--tls-cert " + text + ": this is not a certificate chain in PEM");
}

TEST_F(Serve, RefusesFlagsThatContradictEachOther) {
  struct Pair {
    Arguments flags;
    std::vector<std::string> names;
  };
  for (const auto& [flags, names] : std::vector<Pair>{
           {{"--cache-tokens", "5"}, {"--cache-tokens", "--max_new_tokens"}},
           {{"--cache-tokens", "640", "--max_new_tokens", "700"},
            {"--cache-tokens", "--max_new_tokens"}},
           {{"--ping-interval", "25"}, {"--ping-interval", "--idle-timeout"}},
           {{"--idle-timeout", "10"}, {"--ping-interval", "--idle-timeout"}},
           {{"--max-body-size", "600"}, {"--max-received-size", "--max-body-size"}},
           {{"--max-message-size", "600", "--max-waiting-size", "700"},
            {"--max-received-size", "--max-message-size"}},
           {{"--max-waiting-size", "7"}, {"--max-waiting-size", "--max-message-size"}},
           {{"--max-connections", "7", "--max-connections-per-address", "8"},
            {"--max-connections", "--max-connections-per-address"}},
           {{"--max-chats", "7", "--max-chats-per-address", "8"},
            {"--max-chats", "--max-chats-per-address"}},
           {{"--max-received-size-per-address", "513"},
            {"--max-received-size", "--max-received-size-per-address"}},
           {{"--max-waiting-size-per-address", "257"},
            {"--max-waiting-size", "--max-waiting-size-per-address"}},
           {{"--max-decoded-size-per-address", "1025"},
            {"--max-decoded-size", "--max-decoded-size-per-address"}},
           {{"--api-key", "a", "--api-key-file", "b"}, {"--api-key", "--api-key-file"}},
           {{"--tls-cert", "a"}, {"--tls-cert", "--tls-key"}}}) {
    const Exit exit = run_program(arguments(with({"--port", "0"}, flags)));
    for (const std::string& name : names) expect_named(exit, name);
  }
}

// The context is as long as the cache can hold: longer prompts are refused as such.
TEST_F(Serve, ASmallCacheIsASmallContext) {
  const std::uint16_t port = free_port();
  Program server(arguments({"--port", std::to_string(port), "--cache-tokens", "640"}));
  ASSERT_TRUE(server.await_error("ready: "));
  EXPECT_PRED2(contains, http_get(port, "/v1/models"), "\"max_model_len\":640,");
  server.send_signal(SIGTERM);
  EXPECT_EQ(server.finish().code, 0);
}

TEST_F(Serve, SaysWhereItsPageIs) {
  const int socket = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool has_v6 = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(socket);
  for (const std::string host : {"::1", "[::1]", "localhost"}) {
    if (!has_v6 && host != "localhost") continue;
    Program server(arguments({"--port", "0", "--host", host, "--base-path", "vlm/"}));
    const std::string shown = host == "localhost" ? host : "[::1]";
    ASSERT_TRUE(server.await_error("ready: http://" + shown + ":")) << host;
    server.send_signal(SIGTERM);
    const Exit exit = server.finish();
    EXPECT_TRUE(std::regex_search(exit.errors, std::regex(":[0-9]+/vlm/\n"))) << exit.errors;
  }
}

// From the first line to the last, whatever goes wrong: programs read them.
TEST_F(Serve, WritesEachLineInJsonIfAsked) {
  const auto expect_json = [](const std::string& text, const std::string& part) {
    EXPECT_PRED2(contains, text, part);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const auto object = nlohmann::json::parse(line, nullptr, false);
      ASSERT_TRUE(object.is_object()) << line;
      EXPECT_TRUE(object.contains("time") && object.contains("level")) << line;
      EXPECT_FALSE(object["message"].get<std::string>().empty()) << line;
    }
  };
  Program server(arguments({"--log-format", "json", "--port", "0", "--verbose"}));
  ASSERT_TRUE(server.await_error("ready: "));
  server.send_signal(SIGTERM);
  expect_json(server.finish().errors, "loaded ");
  expect_json(run_program(arguments({"--log-format", "json", "--port", "x"})).errors, "--port");
  expect_json(run_program(arguments({"--log-format", "json", "--cache-tokens", "5"})).errors,
              "--cache-tokens");
  write_file(folder_ / "serve.toml", "log-format = \"json\"\nidle-timeout = 1\n");
  expect_json(run_program(arguments({"--config", (folder_ / "serve.toml").string()})).errors,
              "--idle-timeout");
}

// What is wrong with flags, files and the port shows before a model is loaded, which takes long.
TEST_F(Serve, ChecksWhatIsCheapBeforeItLoadsTheModel) {
  const std::string port = std::to_string(free_port());
  Program first(arguments({"--port", port}));
  ASSERT_TRUE(first.await_error("ready: http://127.0.0.1:"));
  write_file(folder_ / "keys", "a:b\nc\n");
  const std::string keys = (folder_ / "keys").string();
  const auto start = [&](const Arguments& more) {
    return run_program(
        with({"serve", "--model-path", "/no/model", "--log-folder", (folder_ / "other").string()},
             more));
  };
  expect_named(start({"--port", port}), "127.0.0.1:" + port);
  expect_named(start({"--tls-cert", "/none", "--tls-key", "/none"}), "/none");
  expect_named(start({"--api-key-list", keys}), keys + ":2: expected NAME:KEY");
  expect_named(start({"--allow-origin", "http://a/b"}), "--allow-origin http://a/b");
  expect_named(start({"--host", "0.0.0.0"}), "--api-key");
  expect_named(start({"--port", "0"}), "/no/model");
}

TEST_F(Serve, ReadsItsFilesAgainOnSighup) {
  const std::string keys = (folder_ / "keys").string();
  const std::string config = (folder_ / "serve.toml").string();
  write_file(keys, "old:first\n");
  write_file(config, "api-key-list = \"" + keys + "\"\nmax-body-size = 3\n");
  std::filesystem::permissions(
      keys, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const std::uint16_t port = free_port();
  Program server(arguments({"--config", config, "--port", std::to_string(port)}));
  ASSERT_TRUE(server.await_error("ready: http://127.0.0.1:"));
  const auto status = [&](const std::string& key, const std::string& more = "") {
    return status_of(http_get(port, "/livez", "Authorization: Bearer " + key + "\r\n" + more));
  };
  const std::string body = "Content-Length: 1500000\r\nExpect: 100-continue\r\n";
  EXPECT_EQ(status("first"), 200);
  RawWebSocket camera(port, "Authorization: Bearer first\r\n");
  write_file(keys, "new:second streams=2\n");
  write_file(config, "api-key-list = \"" + keys + "\"\nmax-body-size = 1\n");
  server.send_signal(SIGHUP);
  ASSERT_TRUE(server.await_error("settings are read again"));
  EXPECT_EQ(status("second"), 200);
  EXPECT_EQ(status("first"), 401);
  EXPECT_EQ(status("second", body), 413);
  write_file(keys, "new:second strems=2\n");
  server.send_signal(SIGHUP);
  ASSERT_TRUE(server.await_error("the settings stay as they were: " + keys + ":1: "));
  write_file(keys, "");
  server.send_signal(SIGHUP);
  ASSERT_TRUE(server.await_error("there is no key in it"));
  write_file(config, "colour = 1\n");
  server.send_signal(SIGHUP);
  ASSERT_TRUE(
      server.await_error("settings stay as they were: " + config + ":1:1: there is no key colour"));
  write_file(config, "api-key = hunter2\n");
  server.send_signal(SIGHUP);
  ASSERT_TRUE(server.await_error(config + ":1:11: a text must stand in quotes: api-key = \"...\""));
  EXPECT_EQ(status("second"), 200);
  camera.send(RawWebSocket::kPing, "still here");
  auto frame = camera.next();
  while (frame && frame->opcode != RawWebSocket::kPong) frame = camera.next();
  EXPECT_TRUE(frame) << "who is in stays in";
  server.send_signal(SIGTERM);
  EXPECT_EQ(server.finish().code, 0);
}

TEST_F(Serve, EndsWithTheTerminalItWasStartedFrom) {
  Program server(arguments({"--port", "0"}), Program::Input::kTerminal);
  ASSERT_TRUE(server.await_error("ready: http://127.0.0.1:"));
  server.send_signal(SIGHUP);
  ASSERT_TRUE(server.await_error("settings are read again"));
  server.hang_up();
  EXPECT_EQ(server.finish().code, 0);
}

TEST_F(Serve, WarnsOfKeysThatOthersMayRead) {
  write_file(folder_ / "keys", "name:key\n");
  std::filesystem::permissions(
      folder_ / "keys", std::filesystem::perms::owner_read | std::filesystem::perms::others_read);
  Program server(arguments({"--port", "0", "--api-key-list", (folder_ / "keys").string()}));
  EXPECT_TRUE(server.await_error("keys may be read by others than its owner"));
}

TEST_F(Serve, LogsJsonAndAsMuchAsIsWanted) {
  Program server(arguments({"--port", "0", "--log-format", "json", "--log-level", "info"}));
  ASSERT_TRUE(server.await_error("\"message\":\"✅ ready: http://127.0.0.1:"));
  server.send_signal(SIGTERM);
  EXPECT_EQ(server.finish().code, 0);
  for (const char* wrong : {"--log-level=loud", "--log-format=xml"}) {
    EXPECT_EQ(run_program(arguments({wrong})).code, 2) << wrong;
  }
}

TEST_F(Serve, TakesFlagsFromAFile) {
  const std::string file = (folder_ / "serve.toml").string();
  const auto start = [&](const std::string& lines, const Arguments& more = {}) {
    write_file(file, lines);
    return run_program(arguments(with({"--config", file}, more)));
  };
  // The port is refused by the time that everything else was understood.
  const std::string all =
      "# comment\nhost = \"192.0.2.1\"\nport = 0\nopen-to-all = true\n"
      "allow-origin = [\"https://a.example\", \"https://b.example\"]\n"
      "prompt = \"描述 # 图片\"\nunchanged-below = 1.5\nidle-timeout = 0.5\n";
  expect_named(start(all), "192.0.2.1");
  expect_named(start(all, {"--host", "198.51.100.1"}), "198.51.100.1");
  expect_refusal(start("hots = \"::1\"\n"), {file + ":1:1: ", "did you mean host?"});
  expect_refusal(start("quiet = true\n"), {file + ":1:1: ", "no key quiet"});
  expect_refusal(start("[section]\nport = 1\n"), {file + ":1:2: ", "no table section"});
  expect_refusal(start("\nport = 70000\n"), {file + ":2:8: ", "--port", "70000"});
  expect_refusal(start("open-to-all = \"perhaps\"\n"), {file + ":1:15: ", "true or false"});
  expect_refusal(start("prompt = 5\n"), {file + ":1:10: ", "prompt = \"5\""});
  expect_refusal(start("api-key = hunter2\n"), {file + ":1:11: ", "api-key = \"...\""});
  expect_refusal(run_program(arguments({"--config", "/none"})), {"/none: No such file"});
  expect_refusal(run_program(arguments({"--config", "/dev/zero"})), {"/dev/zero: longer than"});
}

// Flags of earlier versions are aliases, which help does not show.
TEST_F(Serve, TakesOldNamesOfFlags) {
  const std::string file = (folder_ / "old.toml").string();
  const std::string help = run_program({"serve", "--help"}).output;
  const auto check = [&](const std::string& old_name, const std::string& name,
                         const std::string& wrong) {
    SCOPED_TRACE(old_name);
    EXPECT_PRED2(contains, help, "\n  --" + name + " ");
    EXPECT_FALSE(contains(help, "--" + old_name));
    // What is wrong with its value is told of the flag by its name of today.
    write_file(file, old_name + " = " + wrong + "\n");
    expect_refusal(run_program(arguments({"--config", file})), {file + ":1:", "--" + name, wrong});
    expect_refusal(run_program(arguments({"--" + old_name + "=" + wrong})), {"--" + name, wrong});
  };
  check("longest-silence", "idle-timeout", "-1");
  check("longest-request", "request-timeout", "-2");
  check("longest-answer", "response-timeout", "-3");
  check("longest-turn", "step-timeout", "-4");
  check("decoders", "image-threads", "-5");
}

TEST_F(Serve, TheExampleFileHasEveryFlagWithItsDefault) {
  const std::string example = std::string(FVLM_SOURCE) + "/tools/deploy/fastvlm.toml";
  const std::string text = read_file(example);
  const std::string help = run_program({"serve", "--help"}).output;
  const std::regex flag("\n  --([a-z_-]+)");
  int flags = 0;
  for (std::sregex_iterator match(help.begin(), help.end(), flag), end; match != end; ++match) {
    const std::string name = (*match)[1];
    if (name == "config" || name == "quiet" || name == "verbose") continue;  // not of files
    EXPECT_TRUE(std::regex_search(text, std::regex("\n(# )?" + name + " = "))) << name;
    ++flags;
  }
  EXPECT_GT(flags, 30);
  Program server(arguments({"--config", example, "--port", "0"}));
  ASSERT_TRUE(server.await_error("ready: http://127.0.0.1:"));
  // What is commented out is a line, too.
  const std::string all =
      std::regex_replace(text, std::regex("\n# ((?!api-key )[a-z_-]+ = )"), "\n$1");
  EXPECT_NE(all, text);
  write_file(folder_ / "all.toml", all);
  write_file(folder_ / "key", "secret\n");
  expect_refusal(
      run_program({"serve", "--config", (folder_ / "all.toml").string(), "--api-key-file",
                   (folder_ / "key").string(), "--api-key-list", "/no/keys"}),
      {"/no/keys"});
}

TEST_F(Serve, TellsSystemdWhatItDoes) {
  const std::string path = (folder_ / "notify").string();
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  const timeval patience{30, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ::setenv("WATCHDOG_USEC", "60000", 1);
  Program server(arguments({"--port", "0"}));
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  const auto next = [&] {
    char bytes[64];
    const auto size = ::recv(socket, bytes, sizeof bytes, 0);
    return size < 0 ? std::string("nothing") : std::string(bytes, static_cast<std::size_t>(size));
  };
  EXPECT_EQ(next(), "READY=1");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(next(), "WATCHDOG=1");
  server.send_signal(SIGTERM);
  std::string last = next();
  while (last == "WATCHDOG=1") last = next();
  EXPECT_EQ(last, "STOPPING=1");
  EXPECT_EQ(server.finish().code, 0);
  ::close(socket);
}

// A camera that connects again after 250 ms, doubled up to 5 s, as the original does after 5 s.
class StubbornCamera {
 public:
  using Clock = std::chrono::steady_clock;

  // Films until `over`.
  StubbornCamera(std::uint16_t port, int number, const std::atomic<bool>& over)
      : over_(over), thread_([this, port, number] { film(port, number); }) {}
  ~StubbornCamera() { thread_.join(); }
  // When the last answer came.
  Clock::time_point answered() const { return answered_; }

 private:
  void film(std::uint16_t port, int number) {
    std::minstd_rand random(static_cast<unsigned>(number + 1));
    const std::string frame =
        read_file(std::filesystem::path(FVLM_TEST_DATA) / "images" / "420.jpg");
    std::chrono::milliseconds wait{250};
    while (!over_) {
      try {
        RawWebSocket socket(port);
        wait = std::chrono::milliseconds(250);
        while (!over_) {
          socket.send(RawWebSocket::kBinary, frame);
          if (socket.next_text().empty()) break;
          answered_ = Clock::now();
          std::this_thread::sleep_for(std::chrono::milliseconds(500));
        }
      } catch (const std::runtime_error&) {  // nobody listens
        std::this_thread::sleep_for(wait * std::uniform_real_distribution(0.75, 1.0)(random));
        wait = std::min(2 * wait, std::chrono::milliseconds(5000));
      }
    }
  }

  const std::atomic<bool>& over_;
  std::atomic<Clock::time_point> answered_ = Clock::time_point();
  std::thread thread_;
};

TEST_F(Serve, ItsCamerasAreBackSoonAfterAKill) {
  const int rounds = std::getenv("FVLM_LONG_TESTS") != nullptr ? 50 : 2;
  const std::uint16_t port = free_port();
  std::atomic<bool> over = false;
  std::vector<std::unique_ptr<StubbornCamera>> cameras;
  for (int i = 0; i < 16; ++i) cameras.push_back(std::make_unique<StubbornCamera>(port, i, over));
  // Ends them, also if the test fails.
  const std::shared_ptr<void> end(nullptr, [&over](void*) { over = true; });
  for (int round = 0; round < rounds; ++round) {
    Program server(arguments({"--port", std::to_string(port), "--max_new_tokens", "8"}));
    ASSERT_TRUE(server.await_error("ready: http://127.0.0.1:"));
    const auto ready = StubbornCamera::Clock::now();
    for (const auto& camera : cameras) {
      while (camera->answered() < ready) {
        ASSERT_LT(StubbornCamera::Clock::now() - ready, std::chrono::seconds(6));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    }
    server.send_signal(SIGKILL);
    EXPECT_EQ(server.finish().code, 128 + SIGKILL);
  }
}

}  // namespace
}  // namespace fvlm
