// HTTP connections over time: timeouts, clients that come back, wait, leave or read nothing, and
// requests that arrive in pieces.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net/http/http_parser.hpp"
#include "tests/net/http/http_fixture.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

const std::string kGet = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
const std::string kPostHead = "POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n";

// Timeouts of which each is far from the others.
net::TransportOptions impatient() {
  net::TransportOptions options;
  options.header_timeout = milliseconds(100);
  options.request_timeout = milliseconds(300);
  options.keep_alive_timeout = milliseconds(600);
  options.response_timeout = milliseconds(200);
  return options;
}

// How soon a connection ends, among others that are as impatient.
class HttpPromises : public testing::Test {
 protected:
  // What comes until the server closes, and after how many milliseconds that is.
  static std::pair<std::string, double> rest_of(RawSocket& socket) {
    const auto begun = Clock::now();
    std::string rest = socket.read_all();
    return {rest, std::chrono::duration<double, std::milli>(Clock::now() - begun).count()};
  }
};

TEST(HttpConnection, AThousandRequestsUseOne) {
  EchoServer server;
  RawSocket client(server.port());
  for (int i = 0; i < 1000; ++i) {
    client.send(fmt::format("GET /n{} HTTP/1.1\r\nHost: localhost\r\n\r\n", i));
    ASSERT_EQ(body_of(read_response(client)), fmt::format("GET /n{} ", i));
  }
}

TEST_F(HttpPromises, ASilentOneIsClosedWithoutAWord) {
  EchoServer server(impatient());
  RawSocket client(server.port());
  const auto [answer, ms] = rest_of(client);
  EXPECT_EQ(answer, "");
  EXPECT_GE(ms, 80);
  EXPECT_LT(ms, 250);
}

TEST_F(HttpPromises, AHeadThatDoesNotEndTimesOut) {
  EchoServer server(impatient());
  RawSocket client(server.port());
  client.send("GET / HT");
  const auto [answer, ms] = rest_of(client);
  EXPECT_EQ(status_of(answer), 408);
  EXPECT_TRUE(contains(answer, "\r\nConnection: close\r\n")) << answer;
  EXPECT_LT(ms, 250);
}

TEST_F(HttpPromises, ABodyHasItsOwnTime) {
  EchoServer server(impatient());
  RawSocket client(server.port());
  client.send(kPostHead + "\r\nhell");
  const auto [answer, ms] = rest_of(client);
  EXPECT_EQ(status_of(answer), 408);
  EXPECT_GE(ms, 270);
  EXPECT_LT(ms, 550);
}

TEST_F(HttpPromises, BetweenRequestsItMayRestAWhile) {
  EchoServer server(impatient());
  RawSocket client(server.port());
  client.send(kGet);
  EXPECT_EQ(status_of(read_response(client)), 200);
  std::this_thread::sleep_for(milliseconds(400));  // longer than a request may take
  client.send(kGet.substr(0, 10));
  std::this_thread::sleep_for(milliseconds(20));
  client.send(kGet.substr(10));
  EXPECT_EQ(status_of(read_response(client)), 200);
  const auto [answer, ms] = rest_of(client);
  EXPECT_EQ(answer, "");
  EXPECT_GE(ms, 500);
}

TEST_F(HttpPromises, ALaterRequestTimesOutFromItsFirstByte) {
  EchoServer server(impatient());
  RawSocket client(server.port());
  client.send(kGet);
  EXPECT_EQ(status_of(read_response(client)), 200);
  std::this_thread::sleep_for(milliseconds(250));
  client.send("GET");
  const auto [answer, ms] = rest_of(client);
  EXPECT_EQ(status_of(answer), 408);
  EXPECT_GE(ms, 80);
  EXPECT_LT(ms, 250);
}

TEST_F(HttpPromises, AResponseThatDoesNotComeTimesOut) {
  EchoServer server(impatient());
  RawSocket client(server.port());
  client.send("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto [answer, ms] = rest_of(client);
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_GE(ms, 180);
  EXPECT_LT(ms, 450);
  EXPECT_TRUE(server.has_ended(1));
  EXPECT_EQ(server.gone(), 1U);
}

TEST(HttpConnection, WhoReadsNothingIsClosed) {
  net::TransportOptions options;
  options.idle_timeout = milliseconds(150);
  options.max_unsent_bytes = 100'000;
  EchoServer server(options);
  RawSocket large(server.port());
  large.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  RawSocket endless(server.port());
  endless.send("GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(server.has_ended(2));
  EXPECT_EQ(server.gone(), 2U);
  EXPECT_LT(endless.read_all().size(), std::size_t{64} << 20);
  EXPECT_LT(large.read_all().size(), std::size_t{64} << 20);
}

TEST(HttpConnection, WhoExpectsToContinueIsTold) {
  EchoServer server({.max_body_bytes = 1000});
  RawSocket client(server.port());
  client.send(kPostHead + "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  EXPECT_EQ(body_of(read_response(client)), "POST /p hello");
  // Refused before the body is sent.
  client.send(
      "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 403);
  RawSocket long_body(server.port());
  long_body.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(status_of(long_body.read_all()), 413);
}

TEST(HttpConnection, ARefusalArrivesWhateverIsStillSent) {
  EchoServer server({.max_body_bytes = 1000});
  for (int i = 0; i < 20; ++i) {
    RawSocket client(server.port());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    client.send(std::string(3'000'000, 'x'));
    EXPECT_EQ(status_of(client.read_all()), 413) << i;
  }
}

TEST(HttpConnection, WhoSaysFarewellIsAnsweredFirst) {
  EchoServer server;
  RawSocket client(server.port());
  client.send(kGet + kGet + kGet);
  client.say_farewell();
  const std::string answers = client.read_all();
  EXPECT_TRUE(answers.ends_with("GET /a ")) << answers;
  std::size_t count = 0;
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 200", at)) != answers.npos; ++at) ++count;
  EXPECT_EQ(count, 3U);
}

TEST(HttpConnection, WhoLeavesIsNotAnswered) {
  EchoServer server;
  std::size_t count = 0;
  for (const char* path : {"/never", "/endless"}) {
    RawSocket client(server.port());
    client.send(fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path));
    EXPECT_TRUE(server.has_asked(++count));
    client.reset();
    EXPECT_TRUE(server.has_ended(count));
    EXPECT_EQ(server.gone(), count);
  }
}

TEST(HttpConnection, AFloodOfRequestsThatNobodyReadsTheAnswersOfEnds) {
  net::TransportOptions options;
  options.idle_timeout = milliseconds(150);
  EchoServer server(options);
  RawSocket client(server.port());
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
  client.send(flood);
  EXPECT_TRUE(server.has_ended(1));
  EXPECT_LT(client.read_all().size(), std::size_t{64} << 20) << "the first response";
}

TEST(HttpConnection, HeadersOfAResponse) {
  EchoServer server;
  const std::string head = http(server.port(), "HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(contains(head, "\r\nContent-Length: 8\r\n")) << head;
  EXPECT_TRUE(contains(head, " GMT\r\n")) << head;
  EXPECT_FALSE(contains(head, "Connection:")) << head;
  const std::string streamed =
      http(server.port(), "GET /streamed HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(contains(streamed, "\r\nTransfer-Encoding: chunked\r\n")) << streamed;
  EXPECT_FALSE(contains(streamed, "Content-Length")) << streamed;
  const std::string old = http(server.port(), "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(contains(old, "\r\nConnection: keep-alive\r\n")) << old;
  const std::string empty = http(server.port(), "GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(contains(empty, "Content-Length")) << empty;
}

TEST(HttpConnection, OneThatRestsMakesWayForANewOne) {
  net::TransportOptions options;
  options.max_connections_per_address = 2;
  EchoServer server(options);
  RawSocket busy(server.port());
  busy.send("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
  RawSocket resting(server.port());
  resting.send(kGet);
  EXPECT_EQ(status_of(read_response(resting)), 200);
  RawSocket another(server.port());
  another.send(kGet);
  EXPECT_EQ(status_of(read_response(another)), 200);
  EXPECT_EQ(resting.read_all(), "");
}

// However a request is cut in two, it is the same.
TEST(HttpParser, PiecesMakeNoDifference) {
  using Progress = net::HttpParser::Progress;
  const std::string chunked =
      "\r\nPOST /c?d HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n";
  for (const std::string& sent : {chunked, kPostHead + "\r\nhello world"}) {
    for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
      net::HttpParser parser(100);
      std::string bytes = sent.substr(0, cut);
      bool head = false;
      bool whole = false;
      const auto parse = [&] {
        Progress progress = Progress::kHead;
        while (!whole && progress != Progress::kMore) {
          progress = parser.parse(bytes);
          ASSERT_NE(progress, Progress::kFault) << parser.fault().message;
          head = head || progress == Progress::kHead;
          whole = whole || progress == Progress::kWhole;
        }
      };
      parse();
      bytes += sent.substr(cut);
      parse();
      ASSERT_TRUE(head && whole) << cut;
      EXPECT_EQ(parser.request().path, sent == chunked ? "/c" : "/p") << cut;
      EXPECT_EQ(parser.request().body, sent == chunked ? "hello world" : "hello") << cut;
      EXPECT_EQ(bytes, sent == chunked ? "" : " world") << cut;
    }
  }
}

}  // namespace
}  // namespace fvlm
