// Unauthorised clients, and clients that would exhaust a resource: what the server lets them do,
// and that other clients are served meanwhile.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/net/service/server_fixture.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class Strangers : public ServerTest {
 protected:
  int status_for(const std::string& host, const std::string& headers = "") const {
    return status_of(
        http(port(), "GET /livez HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "\r\n"));
  }
  std::string own_origin() const { return "http://127.0.0.1:" + std::to_string(port()); }

  // A chat that goes on until `socket` is closed; its head and first bytes.
  std::string begin_chat(RawSocket& socket) const {
    const std::string body = R"({"model": "checkpoint", "max_tokens": 1900, "stream": true,
                                 "messages": [{"role": "user", "content": "hello"}]})";
    socket.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    return socket.read_until("\r\n\r\n");
  }
};

// How soon others are served.
class StrangersPromises : public Strangers {};

TEST_F(Strangers, NamesThatOnlyLookLikeThisMachineAreRefused) {
  start();
  for (const char* host : {"127.evil.example", "127.evil.example:5000", "127.0.0.1.evil.example",
                           "localhost.evil.example", "[::1].evil.example", "localhost:80:80",
                           "evil.example@localhost", "127.1", "::1"}) {
    EXPECT_EQ(status_for(host), 403) << host;
  }
  for (const char* host : {"127.0.0.1", "127.9.8.7:1", "LOCALHOST", "localhost.", "[::1]",
                           "[0:0:0:0:0:0:0:1]:5000", "Localhost.:5000"}) {
    EXPECT_EQ(status_for(host), 200) << host;
  }
  const net::ServerOptions rebound{.transport = {.host = "127.evil.example", .port = 0}};
  EXPECT_NE(error_of([&] { net::Server(*engine_, rebound); }).find("--api-key"), std::string::npos);
}

TEST_F(Strangers, OriginsThatOnlyLookLikeOursAreRefused) {
  start({.access = {.allowed_origins = {"https://Friend.example"}}});
  const std::string port_text = std::to_string(port());
  for (const std::string& origin :
       {"http://127.evil.example:" + port_text, "http://localhost:" + port_text,
        own_origin() + ".evil.example", own_origin() + "/", "ftp://127.0.0.1:" + port_text,
        "x://127.0.0.1:" + port_text, std::string("http://127.0.0.1"), std::string("null"),
        std::string("http://friend.example"), std::string("https://friend.example.evil")}) {
    const std::string header = "Origin: " + origin + "\r\n";
    EXPECT_EQ(status_of(http_get(port(), "/livez", header)), 403) << origin;
    EXPECT_THROW(RawWebSocket(port(), header), std::runtime_error) << origin;
  }
  for (const std::string& origin :
       {own_origin(), "HTTP://127.0.0.1:" + port_text, std::string("https://friend.example:443")}) {
    const std::string header = "Origin: " + origin + "\r\n";
    EXPECT_EQ(status_of(http_get(port(), "/livez", header)), 200) << origin;
    EXPECT_NO_THROW(RawWebSocket(port(), header)) << origin;
  }
  stop();
  const net::ServerOptions path{.access = {.allowed_origins = {"https://friend.example/page"}}};
  EXPECT_NE(error_of([&] { net::Server(*engine_, path); }).find("/page"), std::string::npos);
}

TEST_F(Strangers, PagesOfOtherSitesGetNothingThatTheyAskForWithoutAnOrigin) {
  start();
  const auto status = [&](const char* path, const std::string& headers) {
    return status_of(http_get(port(), path, headers));
  };
  const std::string cross = "Sec-Fetch-Site: cross-site\r\n";
  const std::string embedded = "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
  const std::string followed =
      "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-User: ?1\r\n";
  for (const char* path : {"/metrics", "/livez", "/v1/models"}) {
    EXPECT_EQ(status(path, cross + embedded), 403) << path;
    EXPECT_EQ(status(path, "Sec-Fetch-Site: same-site\r\n" + embedded), 403) << path;
    EXPECT_EQ(status(path, "Referer: http://evil.example/page\r\n"), 403) << path;
    EXPECT_EQ(status(path, "Sec-Fetch-Site: same-origin\r\n" + embedded), 200) << path;
    EXPECT_EQ(status(path, cross + followed), 200) << path;
    EXPECT_NE(http_get(port(), path).find("Cross-Origin-Resource-Policy: same-origin\r\n"),
              std::string::npos)
        << path;
  }
  EXPECT_THROW(RawWebSocket(port(), cross + "Sec-Fetch-Mode: websocket\r\n"), std::runtime_error);
  EXPECT_EQ(status("/", "Referer: http://elsewhere.example/\r\n"), 200) << "a link to the page";
}

TEST_F(StrangersPromises, IdleSocketsOfOneClientKeepNobodyAway) {
  constexpr std::size_t kIdle = 1500;
  rlimit limit{};  // clients and server are in one process here
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  start({.live = {.max_new_tokens = 4}});
  RawWebSocket camera(port());
  std::vector<std::unique_ptr<RawSocket>> idle(kIdle);
  for (auto& socket : idle) socket = std::make_unique<RawSocket>(port());
  // Those that are cut come again without a pause.
  std::atomic<bool> done = false;
  std::thread again([&] {
    for (std::size_t i = 0; !done; i = (i + 1) % kIdle) {
      idle[i] = std::make_unique<RawSocket>(port());
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  for (int i = 0; i < 40; ++i) {
    const auto asked = Clock::now();
    EXPECT_EQ(status_of(http_get(port(), "/livez", "", i % 2 == 0 ? kSelf : kOther)), 200) << i;
    EXPECT_LE(Clock::now() - asked, milliseconds(250) * kInstrumented) << i;
  }
  done = true;
  again.join();
  EXPECT_GE(metric("fastvlm_connections_refused_total"), kIdle - 256);
  camera.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(camera)["type"], "description") << "it came before, and was let alone";
}

TEST_F(Strangers, OpenConnectionsOfOneClientLeavePlacesForOthers) {
  start({.transport = {.max_connections = 8, .max_connections_per_address = 4}});
  std::vector<std::unique_ptr<RawWebSocket>> open;
  for (int i = 0; i < 4; ++i) open.push_back(std::make_unique<RawWebSocket>(port()));
  EXPECT_THROW(RawWebSocket{port()}, std::runtime_error);
  EXPECT_EQ(http_get(port(), "/livez"), "");
  EXPECT_EQ(status_of(http_get(port(), "/livez", "", kOther)), 200);
  open.pop_back();
  std::string answer;
  const auto deadline = Clock::now() + std::chrono::seconds(5);
  while (answer.empty() && Clock::now() < deadline) answer = http_get(port(), "/livez");
  EXPECT_EQ(status_of(answer), 200) << "its place came back";
}

TEST_F(Strangers, ChatsOfOneClientLeavePlacesForOthers) {
  start_slow({.chat = {.max_new_tokens = 1900, .max_chats = 8, .max_chats_per_address = 2}});
  RawSocket first(port());
  RawSocket second(port());
  EXPECT_EQ(status_of(begin_chat(first)), 200);
  EXPECT_EQ(status_of(begin_chat(second)), 200);
  RawSocket third(port());
  EXPECT_EQ(status_of(begin_chat(third)), 429);
  EXPECT_NE(third.read_until("}}").find("address"), std::string::npos);
  RawSocket other(port(), kOther);
  EXPECT_EQ(status_of(begin_chat(other)), 200);
  first.reset();
  await_metric("fastvlm_chats_running 2\n");
  RawSocket fourth(port());
  EXPECT_EQ(status_of(begin_chat(fourth)), 200) << "the first one's place came back";
}

class WaitingFrames : public Strangers, public testing::WithParamInterface<net::LiveOptions> {};

TEST_P(WaitingFrames, OfOneClientLeaveRoomForOthers) {
  start_endless({.live = GetParam()});
  RawWebSocket first(port());
  RawWebSocket second(port());
  RawWebSocket other(port(), "", kOther);
  for (RawWebSocket* socket : {&first, &second, &other}) {
    configure(*socket, {{"stream", true}});
    socket->send(RawWebSocket::kBinary, jpeg());
    EXPECT_EQ(next(*socket)["type"], "token");
  }
  first.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_waiting 1\n");
  second.send(RawWebSocket::kBinary, jpeg());
  const json message = next_but_tokens(second);
  EXPECT_EQ(message["code"], "busy") << message;
  other.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_waiting 2\n");
  first.socket().reset();
  await_metric("fastvlm_frames_waiting 1\n");
  second.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_waiting 2\n");
}

INSTANTIATE_TEST_SUITE_P(
    Limits, WaitingFrames,
    testing::Values(net::LiveOptions{.max_new_tokens = 1900, .max_waiting_frames_per_address = 1},
                    net::LiveOptions{.max_new_tokens = 1900,
                                     .max_waiting_bytes_per_address = jpeg().size()}),
    [](const auto& test) { return test.index == 0 ? "by_number" : "by_size"; });

TEST_F(StrangersPromises, WrongKeysAreCountedLoggedAndSlowedDown) {
  std::atomic<int> logged = 0;
  start({.access = {.key = "secret", .free_wrong_keys = 3},
         .log = [&](net::LogLevel level, const std::string& line, const net::LogFields&) {
           logged += level == net::LogLevel::kWarning && contains(line, "127.0.0.1") &&
                             contains(line, "gave a wrong key")
                         ? 1
                         : 0;
         }});
  const auto answer = [&](const std::string& key, const char* from) {
    return http_get(port(), "/metrics", "Authorization: Bearer " + key + "\r\n", from);
  };
  EXPECT_EQ(status_of(http_get(port(), "/metrics")), 401) << "no key is no try";
  for (const char* key : {"a", "b", "c", "d"}) {
    EXPECT_EQ(status_of(answer(key, kSelf)), 401) << key;
  }
  const auto begun = Clock::now();
  const std::string refused = answer("secret", kSelf);
  EXPECT_EQ(status_of(refused), 429);
  EXPECT_TRUE(contains(refused, "Retry-After: 1\r\n")) << refused;
  EXPECT_TRUE(contains(refused, "127.0.0.1; try again in 1 s")) << refused;
  const std::string chat = http_get(port(), "/v1/models", "Authorization: Bearer secret\r\n");
  EXPECT_TRUE(contains(chat, "\"too_many_wrong_keys\"")) << chat;
  EXPECT_TRUE(contains(chat, "Retry-After: 1\r\n")) << chat;
  EXPECT_THROW(RawWebSocket(port(), "Authorization: Bearer secret\r\n"), std::runtime_error);
  const std::string metrics = answer("secret", kOther);
  EXPECT_EQ(status_of(metrics), 200) << "others do not wait";
  EXPECT_LE(Clock::now() - begun, milliseconds(900)) << "all of this was within the second";
  EXPECT_TRUE(contains(metrics, "\nfastvlm_wrong_keys_total 4\n")) << metrics;
  EXPECT_TRUE(contains(metrics, "\nfastvlm_keys_refused_total 3\n")) << metrics;
  EXPECT_EQ(logged, 4);
  std::this_thread::sleep_until(begun + milliseconds(1050));
  EXPECT_EQ(status_of(answer("secret", kSelf)), 200);
  stop();  // before what it logs to goes
}

TEST_F(Strangers, PagesOfOthersCannotSpendAVisitorsTries) {
  start({.access = {.key = "secret", .free_wrong_keys = 1}});
  for (const char* key : {"a", "b", "c"}) {
    EXPECT_EQ(status_of(http_get(port(), "/livez",
                                 std::string("Origin: http://evil.example\r\n") +
                                     "Authorization: Bearer " + key + "\r\n")),
              403);
  }
  EXPECT_EQ(status_of(http_get(port(), "/livez", "Authorization: Bearer secret\r\n")), 200);
}

}  // namespace
}  // namespace fvlm
