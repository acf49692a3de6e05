// RFC 6455: frames, lengths, control frames, reserved bits and opcodes, fragments.
#include <initializer_list>
#include <numeric>
#include <string>
#include <utility>

#include "tests/net/http/websocket_fixture.hpp"

namespace fvlm {
namespace {

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
  check({"16-bit length of 125", {head({0x81, 0xfe, 0, 125, 0, 0, 0, 0})}, {}, 1002});
  check({"64-bit length of 65535",
         {head({0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0})},
         {},
         1002});
  check({"length with its highest bit set",
         {head({0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})},
         {},
         1002});
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

}  // namespace
}  // namespace fvlm
