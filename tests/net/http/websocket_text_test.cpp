// RFC 6455: texts must be UTF-8, how connections are closed, how they are opened.
#include <cstdint>
#include <string>
#include <vector>

#include "tests/net/http/websocket_fixture.hpp"

namespace fvlm {
namespace {

std::string utf8(std::uint32_t point) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (point >> shift & 0x3f)); };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xc0 | point >> 6), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xe0 | point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | point >> 18), tail(12), tail(6), tail(0)};
}

TEST_F(Conformance, Utf8ThatIsValid) {
  const std::vector<std::uint32_t> points = {0x0,     0x7f,    0x80,    0x7ff,    0x800,   0xfff,
                                             0x1000,  0xcfff,  0xd7ff,  0xe000,   0xfffd,  0x10000,
                                             0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10fffd};
  for (const std::uint32_t point : points) {
    check_text(fmt::format("U+{:04X}", point), utf8(point), true);
  }
  // What Unicode calls noncharacters is valid in UTF-8.
  for (std::uint32_t plane = 0; plane < 17; ++plane) {
    for (const std::uint32_t low : {0xfffeU, 0xffffU}) {
      const std::uint32_t point = plane << 16 | low;
      check_text(fmt::format("noncharacter U+{:04X}", point), utf8(point), true);
    }
  }
  const std::string text = "Hello-µ@ßöäüàá-κόσμε-图片-🚀";
  check_text("many scripts", text, true);
  check({"many scripts byte by byte", in_pieces(frame(kText, text), 1), {{kText, text}}});
  std::string fragments;
  for (std::size_t i = 0; i < text.size(); ++i) {
    fragments += frame(i == 0 ? kText : kContinuation, text.substr(i, 1), i + 1 == text.size());
  }
  check({"a fragment for each byte", {fragments}, {{kText, text}}});
  check({"no text, so it need not be valid", {frame(kBinary, "\xff\xfe")}, {{kText, "fffe"}}});
}

TEST_F(Conformance, Utf8ThatIsCutOff) {
  const std::string text = "κόσμε-µ图🚀";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    const bool whole = size == text.size() || (text[size] & 0xc0) != 0x80;
    const std::string part = text.substr(0, size);
    check_text(fmt::format("the first {} bytes", size), part, whole);
    const std::string fragments =
        frame(kText, part.substr(0, size / 2), false) + frame(kContinuation, part.substr(size / 2));
    if (whole) {
      check({fmt::format("the first {} bytes in fragments", size), {fragments}, {{kText, part}}});
    } else {
      check({fmt::format("the first {} bytes in fragments", size), {fragments}, {}, 1007});
    }
  }
}

TEST_F(Conformance, Utf8ThatIsInvalid) {
  std::vector<std::string> bad = {
      // Continuation bytes without a beginning.
      "\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80",
      // Beginnings without continuation.
      "\xc2 ", "\xdf ", "\xe0 ", "\xef ", "\xf0 ", "\xf4 ", "\xe1\x80 ", "\xf1\x80\x80 ",
      // Bytes that never occur.
      "\xfe", "\xff", "\xfe\xfe\xff\xff", "\xc0", "\xc1", "\xf5", "\xf7", "\xf8", "\xfb", "\xfd",
      // Longer than needed.
      "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf",
      "\xfc\x80\x80\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",
      "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf", "\xc0\x80", "\xe0\x80\x80",
      "\xf0\x80\x80\x80",
      // Halves of UTF-16 pairs, alone and paired.
      "\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80",
      "\xed\xbe\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf",
      // Beyond U+10FFFF, and five and six bytes.
      "\xf4\x90\x80\x80", "\xf4\xbf\xbf\xbf", "\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf",
      "\xf8\x88\x80\x80\x80", "\xfb\xbf\xbf\xbf\xbf", "\xfc\x84\x80\x80\x80\x80",
      "\xfd\xbf\xbf\xbf\xbf\xbf",
      // Amid what is valid.
      "κόσμε\xed\xa0\x80 edited", "κόσμε\xf4\x90\x80\x80 edited", "图\x80片"};
  for (const std::string& text : bad) {
    check_text(hex(text), text, false);
    check({hex(text) + " in a fragment", {frame(kText, text + "!", false)}, {}, 1007});
  }
  const std::string unfinished = frame(kText, "κόσμε\xf4\x90" + std::string(100, 'x'));
  check({"seen before the frame is whole", {unfinished.substr(0, 30)}, {}, 1007});
  check({"seen in the next fragment",
         {frame(kText, "κ\xf4", false) + frame(kContinuation, "\x90", false)},
         {},
         1007});
}

TEST_F(Conformance, Closing) {
  const std::string hello = frame(kText, "hello");
  check({"a text before", {hello + close_frame(1000)}, {{kText, "hello"}}, 1000});
  check({"a text after", {close_frame(1000) + hello}, {}, 1000});
  check({"a ping after", {close_frame(1000) + frame(kPing, "")}, {}, 1000});
  check({"twice", {close_frame(1000) + close_frame(1001)}, {}, 1000});
  check({"inside of fragments", {frame(kText, "a", false) + close_frame(1000)}, {}, 1000});
  check({"a fragment after",
         {frame(kText, "a", false) + close_frame(1000) + frame(kContinuation, "b")},
         {},
         1000});
  const std::string large(256 << 10, 'x');
  check({"a large text before", {frame(kText, large), close_frame(1000)}, {{kText, large}}, 1000});
  check({"byte by byte", in_pieces(close_frame(1000, "bye"), 1), {}, 1000});
  check({"no code", {frame(kClose, "")}, {}, 1000});
  check({"half a code", {frame(kClose, "\x03")}, {}, 1002});
  check({"a code and a reason", {close_frame(1000, "Goodbye")}, {}, 1000});
  check({"longest reason", {close_frame(1000, std::string(123, '*'))}, {}, 1000});
  check({"reason too long", {close_frame(1000, std::string(124, '*'))}, {}, 1002});
  check({"reason that is no text", {close_frame(1000, "\xce\xba\xe1\xbd\xed\xa0\x80")}, {}, 1002});
}

TEST_F(Conformance, CloseCodes) {
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                         3000, 3999, 4000, 4999}) {
    check({fmt::format("code {}", code), {close_frame(code)}, {}, code});
  }
  for (const int code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    check({fmt::format("code {}, which must not be sent", code), {close_frame(code)}, {}, 1002});
  }
}

TEST_F(Conformance, HandlersThatThrow) {
  check({"in a message", {frame(kText, "throw")}, {}, 1011});
  EXPECT_EQ(status_of(http_get(echo().port(), "/throw")), 500);
  check({"after that", {frame(kText, "alive")}, {{kText, "alive"}}});
}

TEST_F(Conformance, Handshakes) {
  const auto ask = [](const std::string& line, const std::string& headers) {
    RawSocket socket(echo().port());
    socket.send(line + "\r\nHost: localhost\r\n" + headers + "\r\n");
    return socket.read_until("\r\n\r\n");
  };
  const std::string get = "GET /ws HTTP/1.1";
  const std::string upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  const std::string version = "Sec-WebSocket-Version: 13\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::string accepted = ask(get, upgrade + version + key);
  EXPECT_EQ(status_of(accepted), 101);
  EXPECT_NE(accepted.find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos);
  const std::string other_case = "upgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n";
  EXPECT_EQ(status_of(ask(get, other_case + version + key)), 101);
  EXPECT_EQ(status_of(ask(get, upgrade + version)), 400);
  EXPECT_EQ(status_of(ask(get, upgrade + version + "Sec-WebSocket-Key: short\r\n")), 400);
  EXPECT_NE(status_of(ask(get, upgrade + key)), 101);
  EXPECT_EQ(status_of(ask("POST /ws HTTP/1.1", upgrade + version + key)), 400);
  EXPECT_EQ(status_of(ask("GET /ws HTTP/1.0", upgrade + version + key)), 400);
  const std::string offers = ask(get, upgrade + version + key +
                                          "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                                          "Sec-WebSocket-Protocol: chat, superchat\r\n");
  EXPECT_EQ(status_of(offers), 101);
  EXPECT_EQ(offers.find("Sec-WebSocket-Extensions"), std::string::npos);
  EXPECT_EQ(offers.find("Sec-WebSocket-Protocol"), std::string::npos);
}

}  // namespace
}  // namespace fvlm
