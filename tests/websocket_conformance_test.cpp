// The transport against RFC 6455, case by case: framing, control frames, reserved bits and opcodes,
// fragmentation, UTF-8, closing, limits and the handshake. A server behind it says every text back,
// and binary messages in hexadecimal. Each of the 370 cases is a connection of its own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "net/transport.hpp"
#include "tests/raw_websocket.hpp"

namespace fvlm {
namespace {

using enum RawWebSocket::Opcode;

constexpr std::size_t kLimit = 1 << 20;  // bytes of a message

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

class Echo final : private net::TransportEvents {
 public:
  Echo() : transport_(net::Transport::listen(options(), *this)) {
    thread_ = std::thread([this] { transport_->run(); });
  }
  ~Echo() override {
    transport_->post([this] { transport_->stop(); });
    thread_.join();
  }
  std::uint16_t port() const { return transport_->port(); }

 private:
  static net::TransportOptions options() {
    return {.port = 0, .max_message_bytes = kLimit, .max_unsent_bytes = 8 * kLimit};
  }
  net::HttpResponse on_upgrade(const net::HttpRequest&) override { return {.status = 101}; }
  void on_open(net::ConnectionId, const net::HttpRequest&) override {}
  void on_message(net::ConnectionId id, std::string payload, bool binary) override {
    transport_->send(id, binary ? hex(payload) : payload);
  }
  void on_close(net::ConnectionId) override {}
  std::optional<net::HttpResponse> on_http(net::ExchangeId, net::HttpRequest) override {
    return net::HttpResponse{};
  }
  void on_http_gone(net::ExchangeId) override {}

  std::unique_ptr<net::Transport> transport_;
  std::thread thread_;
};

constexpr int kOpen = -1;  // the client ends the connection, after what it sends

struct Case {
  std::string name;
  std::vector<std::string> sent;                       // pieces, one after the other
  std::vector<std::pair<int, std::string>> answers{};  // opcode and payload of data and pongs
  int close_code = kOpen;                              // of the server's close frame
};

std::string frame(int opcode, std::string_view payload, bool final = true) {
  return client_frame(opcode, payload, final);
}

std::string with_first_byte(std::string bytes, int first) {
  bytes[0] = static_cast<char>(first);
  return bytes;
}

std::string close_frame(int code, std::string_view reason = "") {
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return frame(kClose, payload.append(reason));
}

std::vector<std::string> in_pieces(const std::string& bytes, std::size_t size) {
  std::vector<std::string> pieces;
  for (std::size_t i = 0; i < bytes.size(); i += size) pieces.push_back(bytes.substr(i, size));
  return pieces;
}

std::string utf8(std::uint32_t point) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (point >> shift & 0x3f)); };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xc0 | point >> 6), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xe0 | point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | point >> 18), tail(12), tail(6), tail(0)};
}

class Conformance : public testing::Test {
 protected:
  // What comes back must be exactly what is expected, then the end.
  static void check(const Case& c) {
    SCOPED_TRACE(c.name);
    RawWebSocket client(echo().port());
    for (const std::string& piece : c.sent) client.socket().send(piece);
    if (c.close_code == kOpen) client.socket().send(close_frame(1000));
    std::vector<std::pair<int, std::string>> answers;
    std::optional<int> code;
    while (const auto answer = client.next()) {
      EXPECT_FALSE(code.has_value()) << "a frame after the close frame";
      EXPECT_TRUE(answer->final);
      if (answer->opcode != kClose) {
        answers.emplace_back(answer->opcode, answer->payload);
      } else {
        ASSERT_GE(answer->payload.size(), 2U);
        code = static_cast<unsigned char>(answer->payload[0]) << 8 |
               static_cast<unsigned char>(answer->payload[1]);
      }
    }
    ASSERT_EQ(answers.size(), c.answers.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      EXPECT_EQ(answers[i].first, c.answers[i].first);
      EXPECT_TRUE(answers[i].second == c.answers[i].second) << "payload of answer " << i;
    }
    ASSERT_TRUE(code.has_value()) << "no close frame";
    EXPECT_EQ(*code, c.close_code == kOpen ? 1000 : c.close_code);
  }
  static void check_text(const std::string& name, const std::string& text, bool valid) {
    if (valid) {
      check({name, {frame(kText, text)}, {{kText, text}}});
    } else {
      check({name, {frame(kText, text)}, {}, 1007});
    }
  }
  static Echo& echo() {
    static Echo server;
    return server;
  }
};

TEST_F(Conformance, MessagesOfAllLengths) {
  for (const std::size_t size : {0, 1, 125, 126, 127, 128, 65535, 65536, 65537}) {
    const std::string payload(size, '*');
    check({fmt::format("text of {}", size), {frame(kText, payload)}, {{kText, payload}}});
    check({fmt::format("binary of {}", size), {frame(kBinary, payload)}, {{kText, hex(payload)}}});
  }
  const std::string payload(65536, '*');
  check({"text in pieces", in_pieces(frame(kText, payload), 997), {{kText, payload}}});
  check({"binary in pieces", in_pieces(frame(kBinary, payload), 997), {{kText, hex(payload)}}});
  check({"text byte by byte", in_pieces(frame(kText, "pieces"), 1), {{kText, "pieces"}}});
  check({"binary byte by byte", in_pieces(frame(kBinary, "\1\2"), 1), {{kText, "0102"}}});
}

TEST_F(Conformance, FramesAsTheyMustNotBe) {
  const std::string unmasked = {static_cast<char>(0x81), 2, 'h', 'i'};
  check({"unmasked", {unmasked}, {}, 1002});
  check({"unmasked ping", {std::string{static_cast<char>(0x89), 0}}, {}, 1002});
  const auto head = [](std::initializer_list<int> bytes) {
    std::string text;
    for (const int byte : bytes) text += static_cast<char>(byte);
    return text;
  };
  // RFC 6455 demands the end here but no code; these are websocketpp's.
  check({"16-bit length of 125", {head({0x81, 0xfe, 0, 125, 0, 0, 0, 0})}, {}, 1011});
  check({"64-bit length of 65535",
         {head({0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0})},
         {},
         1011});
  check({"length with its highest bit set",
         {head({0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})},
         {},
         1009});
  check({"length beyond the limit",
         {head({0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0})},
         {},
         1009});
  check({"fragments beyond the limit",
         {frame(kBinary, std::string(kLimit, 'x'), false) + head({0x80, 0x81, 0, 0, 0, 0})},
         {},
         1009});
  const std::string largest(kLimit, 'x');
  check({"as long as allowed", {frame(kText, largest)}, {{kText, largest}}});
}

TEST_F(Conformance, PingsAndPongs) {
  const std::string longest(125, '\xfe');
  check({"empty ping", {frame(kPing, "")}, {{kPong, ""}}});
  check({"ping with a text", {frame(kPing, "Hello")}, {{kPong, "Hello"}}});
  check({"ping with bytes", {frame(kPing, {"\0\xff\xfe\0", 4})}, {{kPong, {"\0\xff\xfe\0", 4}}}});
  check({"longest ping", {frame(kPing, longest)}, {{kPong, longest}}});
  check({"ping byte by byte", in_pieces(frame(kPing, longest), 1), {{kPong, longest}}});
  check({"ping too long", {frame(kPing, longest + "x")}, {}, 1002});
  check({"pong too long", {frame(kPong, longest + "x")}, {}, 1002});
  check({"pong for no ping", {frame(kPong, "")}});
  check({"pong with a payload for no ping", {frame(kPong, "unasked")}});
  check({"pong, then ping", {frame(kPong, "1"), frame(kPing, "2")}, {{kPong, "2"}}});
  Case ten{"ten pings", {}, {}};
  for (int i = 0; i < 10; ++i) {
    ten.sent.push_back(frame(kPing, std::to_string(i)));
    ten.answers.emplace_back(kPong, std::to_string(i));
  }
  check(ten);
  ten.name = "ten pings byte by byte";
  ten.sent = in_pieces(std::accumulate(ten.sent.begin(), ten.sent.end(), std::string()), 1);
  check(ten);
}

TEST_F(Conformance, ReservedBits) {
  for (int bits = 1; bits < 8; ++bits) {
    for (const int opcode : {kText, kBinary, kPing, kClose}) {
      const std::string bad = with_first_byte(frame(opcode, ""), 0x80 | bits << 4 | opcode);
      check({fmt::format("bits {} with opcode {}", bits, opcode),
             {frame(kText, "before") + bad},
             {{kText, "before"}},
             1002});
    }
  }
}

TEST_F(Conformance, ReservedOpcodes) {
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    check({fmt::format("opcode {}", opcode), {frame(opcode, "")}, {}, 1002});
    check({fmt::format("opcode {} with a payload", opcode),
           {frame(kText, "before") + frame(opcode, "x")},
           {{kText, "before"}},
           1002});
  }
}

TEST_F(Conformance, Fragments) {
  const std::string first = frame(kText, "frag", false);
  const std::string last = frame(kContinuation, "ment");
  const std::pair<int, std::string> whole{kText, "fragment"};
  check({"fragmented ping", {frame(kPing, "x", false)}, {}, 1002});
  check({"fragmented pong", {frame(kPong, "x", false)}, {}, 1002});
  check({"fragmented close", {with_first_byte(close_frame(1000), kClose)}, {}, 1002});
  check({"two", {first, last}, {whole}});
  check({"two at once", {first + last}, {whole}});
  check({"two byte by byte", in_pieces(first + last, 1), {whole}});
  check({"binary", {frame(kBinary, "a", false), frame(kContinuation, "b")}, {{kText, "6162"}}});
  check({"a ping between", {first, frame(kPing, "!"), last}, {{kPong, "!"}, whole}});
  check({"a ping between, at once", {first + frame(kPing, "!") + last}, {{kPong, "!"}, whole}});
  check({"a ping between, byte by byte",
         in_pieces(first + frame(kPing, "!") + last, 1),
         {{kPong, "!"}, whole}});
  check({"a pong between", {first + frame(kPong, "!") + last}, {whole}});
  check({"pings in a long one",
         {first + frame(kPing, "1") + frame(kContinuation, "", false) + frame(kPing, "2") + last},
         {{kPong, "1"}, {kPong, "2"}, whole}});
  check({"empty ones",
         {frame(kText, "", false) + frame(kContinuation, "", false) + frame(kContinuation, "")},
         {{kText, ""}}});
  check({"only the middle has a text",
         {frame(kText, "", false) + frame(kContinuation, "mid", false) + frame(kContinuation, "")},
         {{kText, "mid"}}});
  check({"two messages", {first + last + first + last}, {whole, whole}});
  for (const bool final : {false, true}) {
    const std::string stray = frame(kContinuation, "stray", final);
    check({fmt::format("nothing to continue, final {}", final), {stray}, {}, 1002});
    check({fmt::format("nothing to continue after a text, final {}", final),
           {frame(kText, "done") + stray},
           {{kText, "done"}},
           1002});
    check({fmt::format("nothing to continue after fragments, final {}", final),
           {first + last + stray},
           {whole},
           1002});
    check({fmt::format("a new text inside of one, final {}", final),
           {first + frame(kText, "new", final)},
           {},
           1002});
    check({fmt::format("new bytes inside of a text, final {}", final),
           {first + frame(kBinary, "new", final)},
           {},
           1002});
  }
  std::string bytes = frame(kText, "", false);
  for (int i = 0; i < 1000; ++i) bytes += frame(kContinuation, "x", false);
  check({"a thousand", {bytes + frame(kContinuation, "")}, {{kText, std::string(1000, 'x')}}});
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
