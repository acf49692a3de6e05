// HTTP/1.1 as RFC 9112 and RFC 9110 have it, case by case: what is sent, how many responses come
// with which statuses, and whether the connection is kept. Each case is a connection of its own,
// on which a last request follows: it is answered if the connection is kept, and only then. Each
// runs twice, sent at once and byte by byte.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/net/http/http_fixture.hpp"

namespace fvlm {
namespace {

const std::string kHost = "Host: localhost\r\n";
const std::string kPost = "POST /p HTTP/1.1\r\n" + kHost;
const std::string kChunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";

std::string get(const std::string& headers, const std::string& path = "/") {
  return "GET " + path + " HTTP/1.1\r\n" + kHost + headers + "\r\n";
}
// A request line, and what is needed beside it.
std::string line(const std::string& text) {
  return text + "\r\n" + kHost + "\r\n";
}
std::string with_length(const std::string& length, const std::string& body = "hello") {
  return kPost + "Content-Length: " + length + "\r\n\r\n" + body;
}
std::string with_coding(const std::string& coding) {
  return kPost + "Transfer-Encoding: " + coding + "\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
}

enum Fate { kKept, kClosed };

struct HttpCase {
  std::string name;
  std::string sent;
  Fate fate;
  std::vector<int> statuses = {200};
  std::string echo = {};  // the last response's body, if it matters
};

class HttpConformance : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = std::make_unique<EchoServer>(net::TransportOptions{.max_body_bytes = 1000});
  }
  static void TearDownTestSuite() { server_.reset(); }

  static void check(const std::vector<HttpCase>& cases) {
    for (const HttpCase& c : cases) {
      for (const bool at_once : {true, false}) {
        SCOPED_TRACE(c.name + (at_once ? "" : ", byte by byte"));
        check_one(c, at_once);
      }
    }
  }
  // A request that is refused, and ends the connection.
  static HttpCase bad(const std::string& name, const std::string& sent, int status = 400) {
    return {name, sent, kClosed, {status}};
  }

 private:
  static void check_one(const HttpCase& c, bool at_once) {
    RawSocket client(server_->port());
    const std::string sent =
        c.sent + "GET /last HTTP/1.1\r\n" + kHost + "Connection: close\r\n\r\n";
    if (at_once) {
      client.send(sent);
    } else {
      for (const char byte : sent) client.send({&byte, 1});
    }
    std::vector<int> statuses;
    std::string body;
    std::string last;
    for (std::string answer = read_response(client); !answer.empty();
         answer = read_response(client)) {
      statuses.push_back(status_of(answer));
      body = std::exchange(last, std::string(body_of(answer)));
    }
    std::vector<int> expected = c.statuses;
    if (c.fate == kKept) {
      expected.push_back(200);
      EXPECT_EQ(last, "GET /last ");
    } else {
      body = last;
    }
    EXPECT_EQ(statuses, expected);
    if (!c.echo.empty()) {
      EXPECT_EQ(body, c.echo);
    }
  }
  static inline std::unique_ptr<EchoServer> server_;
};

TEST_F(HttpConformance, RequestLines) {
  check({
      {"GET", get(""), kKept, {200}, "GET / "},
      {"a path and a query", get("", "/a/b?c=d?e&f"), kKept, {200}, "GET /a/b "},
      {"an escaped path", get("", "/%7Ea%20b"), kKept, {200}, "GET /%7Ea%20b "},
      {"a long path", get("", "/" + std::string(8000, 'x')), kKept},
      {"PUT", line("PUT / HTTP/1.1"), kKept, {200}, "PUT / "},
      {"DELETE", line("DELETE / HTTP/1.1"), kKept},
      {"PATCH", line("PATCH / HTTP/1.1"), kKept},
      {"a method that nobody knows", line("M-SEARCH!#$%&'*+.^_`|~1 / HTTP/1.1"), kKept},
      {"methods have their case", line("get / HTTP/1.1"), kKept, {200}, "get / "},
      {"OPTIONS of a path", line("OPTIONS /a HTTP/1.1"), kKept, {200}, "OPTIONS /a "},
      {"OPTIONS of all", line("OPTIONS * HTTP/1.1"), kKept, {200}, "OPTIONS * "},
      {"CONNECT", line("CONNECT example.org:443 HTTP/1.1"), kKept},
      {"an empty line before", "\r\n" + get(""), kKept},
      {"empty lines before", "\r\n\r\n\r\n" + get(""), kKept},
      {"a URL", line("GET http://localhost/a HTTP/1.1"), kKept, {200}, "GET /a "},
      {"a URL with a query", line("GET http://localhost:80/a?b HTTP/1.1"), kKept, {200}, "GET /a "},
      {"a URL of https", line("GET HTTPS://localhost/a HTTP/1.1"), kKept, {200}, "GET /a "},
      {"a URL without a path", line("GET http://localhost HTTP/1.1"), kKept, {200}, "GET / "},
      {"a URL with a query alone", line("GET http://localhost?b HTTP/1.1"), kKept, {200}, "GET / "},
      {"a URL's host counts", line("GET http://other/host HTTP/1.1"), kKept, {200}, "other"},
      bad("a URL of ftp", line("GET ftp://localhost/ HTTP/1.1")),
      bad("a URL without a host", line("GET http:///a HTTP/1.1")),
      bad("a URL with a user", line("GET http://me@localhost/ HTTP/1.1")),
      bad("no method", line(" / HTTP/1.1")),
      bad("a method that is no token", line("GE(T / HTTP/1.1")),
      bad("a method in quotes", line("\"GET\" / HTTP/1.1")),
      bad("no target", line("GET HTTP/1.1")),
      bad("an empty target", line("GET  HTTP/1.1")),
      bad("two spaces", line("GET  / HTTP/1.1")),
      bad("a space in the target", line("GET /a b HTTP/1.1")),
      bad("a tab for a space", line("GET\t/\tHTTP/1.1")),
      bad("a relative target", line("GET a HTTP/1.1")),
      bad("all, with GET", line("GET * HTTP/1.1")),
      bad("a fragment", line("GET /a#b HTTP/1.1")),
      bad("bytes beyond ASCII", line("GET /\xc3\xa9 HTTP/1.1")),
      bad("a control character", line("GET /\x01 HTTP/1.1")),
      bad("a zero byte", line(std::string("GET /\0 HTTP/1.1", 15))),
      bad("a target that is too long", get("", "/" + std::string(20'000, 'x')), 414),
      bad("a line without an end", std::string(20'000, 'x'), 414),
  });
}

TEST_F(HttpConformance, Versions) {
  const std::string keep = "Connection: keep-alive\r\n";
  check({
      {"1.0", line("GET / HTTP/1.0"), kClosed},
      {"1.0 without a host", "GET / HTTP/1.0\r\n\r\n", kClosed},
      {"1.0 that is kept", "GET / HTTP/1.0\r\n" + keep + "\r\n", kKept},
      {"1.0 with a body",
       "POST / HTTP/1.0\r\nContent-Length: 2\r\n" + keep + "\r\nhi",
       kKept,
       {200},
       "POST / hi"},
      {"1.2", line("GET / HTTP/1.2"), kKept},
      {"1.9", line("GET / HTTP/1.9"), kKept},
      bad("0.9", line("GET / HTTP/0.9"), 505),
      bad("2.0", line("GET / HTTP/2.0"), 505),
      bad("3.0", line("GET / HTTP/3.0"), 505),
      bad("HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
      bad("no version", line("GET /")),
      bad("0.9 as it was", "GET /\r\n\r\n"),
      bad("small letters", line("GET / http/1.1")),
      bad("one digit", line("GET / HTTP/1")),
      bad("three digits", line("GET / HTTP/1.10")),
      bad("no point", line("GET / HTTP/11")),
      bad("a comma", line("GET / HTTP/1,1")),
      bad("a space after it", line("GET / HTTP/1.1 ")),
      bad("a space in it", line("GET / HTTP/ 1.1")),
      bad("another protocol", line("GET / HTCPCP/1.0")),
      bad("TLS", {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11}),
      bad("SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
      bad("rubbish", "rubbish\r\n\r\n"),
  });
}

TEST_F(HttpConformance, Fields) {
  std::string many;
  for (int i = 0; i < 100; ++i) many += fmt::format("X-{}: {}\r\n", i, i);
  std::string too_many;
  while (too_many.size() < 20'000) too_many += many;
  check({
      {"names have no case", "GET / HTTP/1.1\r\nhOsT: localhost\r\n\r\n", kKept},
      {"no space after the colon", "GET / HTTP/1.1\r\nHost:localhost\r\n\r\n", kKept},
      {"spaces and tabs around a value", get("X: \t a b \t \r\n"), kKept},
      {"an empty value", get("X:\r\n"), kKept},
      {"a value of spaces", get("X:   \r\n"), kKept},
      {"a colon in a value", get("X: a:b\r\n"), kKept},
      {"bytes beyond ASCII", get("X: \xc3\xa9\xff\r\n"), kKept},
      {"a name of all characters", get("!#$%&'*+-.^_`|~09azAZ: x\r\n"), kKept},
      {"a hundred", get(many), kKept},
      {"the same one twice", get("X: 1\r\nX: 2\r\n"), kKept},
      {"a long one", get("X: " + std::string(15'000, 'x') + "\r\n"), kKept},
      bad("one too long", get("X: " + std::string(20'000, 'x') + "\r\n"), 431),
      bad("too many", get(too_many), 431),
      bad("a space before the colon", get("X : y\r\n")),
      bad("a tab before the colon", get("X\t: y\r\n")),
      bad("a space in a name", get("X Y: z\r\n")),
      bad("no name", get(": y\r\n")),
      bad("no colon", get("X\r\n")),
      bad("a name in brackets", get("(X): y\r\n")),
      bad("a name beyond ASCII", get("\xc3\xa9: y\r\n")),
      bad("a space before the first", "GET / HTTP/1.1\r\n " + kHost + "\r\n"),
      bad("a line that is folded", get("X: a\r\n b\r\n")),
      bad("a line that is folded with a tab", get("X: a\r\n\tb\r\n")),
      bad("a fold at the end", get("X: a\r\n \r\n")),
      bad("a folded length", kPost + "Content-Length:\r\n 5\r\n\r\nhello"),
      bad("a zero byte", get(std::string("X: a\0b\r\n", 8))),
      bad("a control character", get("X: a\x01"
                                     "b\r\n")),
      bad("an escape", get("X: a\x1b[2J\r\n")),
      bad("DEL", get("X: a\x7f\r\n")),
      bad("a bare LF after the line", "GET / HTTP/1.1\n" + kHost + "\r\n"),
      bad("a bare LF after a field", "GET / HTTP/1.1\r\nHost: localhost\n\r\n"),
      bad("a bare LF at the end", "GET / HTTP/1.1\r\n" + kHost + "\n"),
      bad("bare LFs alone", "GET / HTTP/1.1\nHost: localhost\n\n"),
      bad("a bare LF before", "\n" + get("")),
      bad("a bare CR in a value", get("X: a\rb\r\n")),
      bad("a bare CR at the end of a value", get("X: a\r\r\n")),
      bad("bare CRs alone", "GET / HTTP/1.1\rHost: localhost\r\r"),
  });
}

TEST_F(HttpConformance, Hosts) {
  const auto host = [](const std::string& name) {
    return "GET /host HTTP/1.1\r\nHost: " + name + "\r\n\r\n";
  };
  check({
      {"a name", host("example.org"), kKept, {200}, "example.org"},
      {"a port", host("example.org:5000"), kKept, {200}, "example.org:5000"},
      {"an IPv6 address", host("[::1]:80"), kKept, {200}, "[::1]:80"},
      {"none, but named", host(""), kKept},
      bad("none", "GET / HTTP/1.1\r\n\r\n"),
      bad("two", get("Host: localhost\r\n")),
      bad("two that differ", get("Host: evil.example\r\n")),
      bad("a list", host("localhost, evil.example")),
      bad("a path", host("localhost/")),
      bad("a space", host("local host")),
      bad("a query", host("localhost?")),
      bad("bytes beyond ASCII", host("\xc3\xa9")),
      bad("two keys", get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
      bad("two origins", get("Origin: http://a\r\nOrigin: http://b\r\n")),
  });
}

TEST_F(HttpConformance, Lengths) {
  check({
      {"five", with_length("5"), kKept, {200}, "POST /p hello"},
      {"none of it", with_length("0", ""), kKept, {200}, "POST /p "},
      {"not said", kPost + "\r\n", kKept, {200}, "POST /p "},
      {"zeros before", with_length("0005"), kKept, {200}, "POST /p hello"},
      {"as long as allowed", with_length("1000", std::string(1000, 'x')), kKept},
      {"of a GET", get("Content-Length: 2\r\n") + "hi", kKept, {200}, "GET / hi"},
      {"lines in a body", with_length("8", "\r\n\n\r\r\n\r\n"), kKept},
      bad("too long", with_length("1001", std::string(1001, 'x')), 413),
      bad("much too long", with_length("18446744073709551615"), 413),
      bad("longer than 64 bits", with_length("18446744073709551616")),
      bad("long beyond all", with_length(std::string(100, '9'))),
      bad("twice", with_length("5\r\nContent-Length: 5")),
      bad("twice and different", with_length("5\r\nContent-Length: 6")),
      bad("different in a list", with_length("5, 6")),
      bad("signed", with_length("+5")),
      bad("negative", with_length("-5")),
      bad("hexadecimal", with_length("0x5")),
      bad("a letter after it", with_length("5a")),
      bad("a point", with_length("5.0")),
      bad("two numbers", with_length("5 5")),
      bad("empty", with_length("")),
      bad("a word", with_length("abc")),
      bad("a comma after it", with_length("5,")),
      bad("a space before the colon", kPost + "Content-Length : 5\r\n\r\nhello"),
  });
}

TEST_F(HttpConformance, Codings) {
  const std::string body = "\r\n5\r\nhello\r\n0\r\n\r\n";
  check({
      {"chunked", with_coding("chunked"), kKept, {200}, "POST /p hello"},
      {"in any case", with_coding("ChunkeD"), kKept, {200}, "POST /p hello"},
      bad("length, then coding",
          kPost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + body),
      bad("coding, then length",
          kPost + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" + body),
      bad("a length of zero beside it",
          kPost + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" + body),
      bad("twice", kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + body),
      bad("two lines", kPost + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" + body),
      bad("twice in one line", with_coding("chunked, chunked")),
      bad("another alone", with_coding("gzip")),
      bad("another with a length",
          kPost + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n" + body),
      bad("another before it", with_coding("gzip, chunked"), 501),
      bad("another after it", with_coding("chunked, gzip")),
      bad("identity", with_coding("identity")),
      bad("a similar word", with_coding("xchunked")),
      bad("a longer word", with_coding("chunkedx")),
      bad("a parameter", with_coding("chunked;q=1")),
      bad("quotes", with_coding("\"chunked\"")),
      bad("nothing", with_coding("")),
      bad("a vertical tab", with_coding("\x0b"
                                        "chunked")),
      bad("a space before the colon", kPost + "Transfer-Encoding : chunked\r\n" + body),
      bad("1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + body),
  });
}

TEST_F(HttpConformance, Chunks) {
  const std::string end = "0\r\n\r\n";
  const auto hello = [](const std::string& rest) {
    return HttpCase{"", kChunked + rest, kKept, {200}, "POST /p hello"};
  };
  const auto named = [](const std::string& name, HttpCase c) {
    c.name = name;
    return c;
  };
  check({
      named("one", hello("5\r\nhello\r\n" + end)),
      named("two", hello("2\r\nhe\r\n3\r\nllo\r\n" + end)),
      named("five", hello("1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n" + end)),
      named("zeros before a size", hello("0005\r\nhello\r\n" + end)),
      named("zeros at the end", hello("5\r\nhello\r\n000\r\n\r\n")),
      named("an extension", hello("5;a=b\r\nhello\r\n" + end)),
      named("an extension without a value", hello("5;a\r\nhello\r\n" + end)),
      named("an extension in quotes", hello("5;a=\"b;\\\" c\"\r\nhello\r\n" + end)),
      named("an extension of the last", hello("5\r\nhello\r\n0;a=b\r\n\r\n")),
      named("trailers", hello("5\r\nhello\r\n0\r\nX: y\r\nAuthorization: z\r\n\r\n")),
      {"none", kChunked + end, kKept, {200}, "POST /p "},
      {"large letters", kChunked + "A\r\n0123456789\r\n" + end, kKept, {200}, "POST /p 0123456789"},
      {"small letters", kChunked + "a\r\n0123456789\r\n" + end, kKept, {200}, "POST /p 0123456789"},
      {"as long as allowed", kChunked + "3e8\r\n" + std::string(1000, 'x') + "\r\n" + end, kKept},
      bad("too long", kChunked + "3e9\r\n" + std::string(1001, 'x') + "\r\n" + end, 413),
      bad("too long together",
          kChunked + "3e8\r\n" + std::string(1000, 'x') + "\r\n1\r\nx\r\n" + end, 413),
      bad("a size of 64 bits", kChunked + "ffffffffffffffff\r\n", 413),
      bad("a size of more bits", kChunked + "1ffffffffffffffff\r\n"),
      bad("a size that wraps around", kChunked + "10000000000000005\r\nhello\r\n" + end),
      bad("a negative size", kChunked + "-5\r\nhello\r\n" + end),
      bad("a signed size", kChunked + "+5\r\nhello\r\n" + end),
      bad("a size in C", kChunked + "0x5\r\nhello\r\n" + end),
      bad("no size", kChunked + "\r\nhello\r\n" + end),
      bad("a word for a size", kChunked + "five\r\nhello\r\n" + end),
      bad("a space before a size", kChunked + " 5\r\nhello\r\n" + end),
      bad("a space after a size", kChunked + "5 \r\nhello\r\n" + end),
      bad("a bare LF after a size", kChunked + "5\nhello\r\n" + end),
      bad("a bare LF after the data", kChunked + "5\r\nhello\n" + end),
      bad("a bare CR after a size", kChunked + "5\rhello\r\n" + end),
      bad("more data than said", kChunked + "5\r\nhello!\r\n" + end),
      bad("an extension without a name", kChunked + "5;=b\r\nhello\r\n" + end),
      bad("an extension that is no token", kChunked + "5;a=(\r\nhello\r\n" + end),
      bad("an endless extension", kChunked + "5;" + std::string(100'000, 'a')),
      bad("a length among the trailers", kChunked + "0\r\nContent-Length: 5\r\n\r\n"),
      bad("a folded trailer without a name", kChunked + "0\r\n x\r\n\r\n"),
      bad("a trailer without a colon", kChunked + "0\r\nx\r\n\r\n"),
      bad("endless trailers", kChunked + "0\r\nX: " + std::string(100'000, 'a')),
  });
}

TEST_F(HttpConformance, Connections) {
  std::string hundred;
  for (int i = 0; i < 100; ++i) hundred += get("", fmt::format("/{}", i));
  check({
      {"close", get("Connection: close\r\n"), kClosed},
      {"close in any case", get("Connection: cLoSe\r\n"), kClosed},
      {"close in a list", get("Connection: Upgrade, close\r\n"), kClosed},
      {"close and keep-alive", get("Connection: keep-alive, close\r\n"), kClosed},
      {"close in a second line", get("Connection: X\r\nConnection: close\r\n"), kClosed},
      {"keep-alive", get("Connection: keep-alive\r\n"), kKept},
      {"an option that nobody knows", get("Connection: X\r\nX: y\r\n"), kKept},
      {"a hundred", hundred, kKept, std::vector<int>(100, 200), "GET /99 "},
      {"bodies and none",
       with_length("5") + get("") + kChunked + "0\r\n\r\n" + get("", "/x"),
       kKept,
       {200, 200, 200, 200},
       "GET /x "},
      {"HEAD", line("HEAD /a HTTP/1.1"), kKept},
      {"HEAD among others",
       get("") + line("HEAD / HTTP/1.1") + get("", "/x"),
       kKept,
       {200, 200, 200}},
      {"after an error", get("") + get("X\r\n") + get(""), kClosed, {200, 400}},
      {"after a close", get("") + get("Connection: close\r\n") + get(""), kClosed, {200, 200}},
      {"one that is refused", get("", "/refused"), kKept, {403}},
      {"one that is refused, with a body",
       "POST /refused HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\n\r\nhello",
       kClosed,
       {403}},
      {"one that throws", get("", "/throw"), kKept, {500}},
      {"one whose head throws", get("", "/throw/head"), kKept, {500}},
      {"a later answer", get("", "/later") + get("", "/x"), kKept, {200, 200}, "GET /x "},
      {"a streamed answer", get("", "/streamed"), kKept, {200}, "one two three"},
      {"a streamed answer for 1.0",
       line("GET /streamed HTTP/1.0"),
       kClosed,
       {200},
       "one two three"},
      {"one without a body", get("", "/204"), kKept, {204}},
  });
}

TEST_F(HttpConformance, Expectations) {
  const auto expect = [](const std::string& what, const std::string& version = "1.1") {
    return "POST /p HTTP/" + version + "\r\n" + kHost + "Expect: " + what +
           "\r\nContent-Length: 5\r\n\r\nhello";
  };
  check({
      {"100-continue", expect("100-continue"), kKept, {200}, "POST /p hello"},
      {"in any case", expect("100-CONTINUE"), kKept, {200}, "POST /p hello"},
      {"without a body", get("Expect: 100-continue\r\n"), kKept, {200}, "GET / "},
      {"1.0 knows none", expect("whatever", "1.0"), kClosed},
      bad("another", expect("200-ok"), 417),
      bad("another beside it", expect("100-continue, x"), 417),
      bad("twice", expect("100-continue\r\nExpect: 100-continue")),
  });
}

TEST_F(HttpConformance, Upgrades) {
  const std::string upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::string version = "Sec-WebSocket-Version: 13\r\n";
  check({
      {"h2c is not taken up",
       get("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"),
       kKept},
      {"without Connection", get("Upgrade: websocket\r\n" + key + version), kKept},
      {"without Upgrade", get("Connection: Upgrade\r\n" + key + version), kKept},
      {"an old version", get(upgrade + key + "Sec-WebSocket-Version: 8\r\n"), kKept, {426}},
      {"no key", get(upgrade + version), kKept, {400}},
      {"POST", "POST / HTTP/1.1\r\n" + kHost + upgrade + key + version + "\r\n", kKept, {400}},
      {"1.0", "GET / HTTP/1.0\r\n" + kHost + upgrade + key + version + "\r\n", kClosed, {400}},
      bad("a body", get(upgrade + key + version + "Content-Length: 5\r\n") + "hello"),
      {"one that is refused", get(upgrade + key + version, "/refused"), kKept, {403}},
  });
}

}  // namespace
}  // namespace fvlm
