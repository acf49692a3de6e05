// The WebSocket protocol, version 13 (RFC 6455), on bytes alone: the opening handshake's key, and
// frames, for either side. Extensions are never agreed on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "net/http/http_parser.hpp"

namespace fvlm::net {

// What is wrong with the handshake of a request for a WebSocket (RFC 6455, 4.2.1).
std::optional<HttpParser::Fault> wrong_handshake(const HttpRequest& request,
                                                 const HttpParser::Head& head);
// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2).
std::string accept_key(std::string_view key);
// A Sec-WebSocket-Key and a frame's mask for a client.
std::string random_key();
std::uint32_t random_mask();

enum class Opcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// A client masks what it sends, a server does not.
enum class Side : std::uint8_t { kServer, kClient };

// The beginning of an unfragmented frame; a client's, with its mask.
std::string frame_head(Opcode opcode, std::size_t size,
                       std::optional<std::uint32_t> mask = std::nullopt);
// XORs `bytes`, which begin at byte `offset` of a payload, with the mask.
void apply_mask(std::uint32_t mask, char* bytes, std::size_t size, std::size_t offset = 0);

// Why a connection is closed (RFC 6455, 7.4.1).
namespace close_code {
inline constexpr std::uint16_t kNormal = 1000;
inline constexpr std::uint16_t kGoingAway = 1001;
inline constexpr std::uint16_t kProtocolError = 1002;
inline constexpr std::uint16_t kNoUtf8 = 1007;
inline constexpr std::uint16_t kTooBig = 1009;
inline constexpr std::uint16_t kInternalError = 1011;
inline constexpr std::uint16_t kOverload = 1013;
}  // namespace close_code

// The payload of a close frame, and what such a payload says.
struct Closing {
  std::uint16_t code = close_code::kNormal;
  std::string reason{};
};
std::string close_payload(const Closing& closing);
std::optional<Closing> read_close_payload(std::string_view payload);

// Checks UTF-8 as it comes.
class Utf8Check {
 public:
  // Whether it can still become valid.
  bool add(std::string_view bytes);
  // Whether it ends at the end of a character.
  bool whole() const { return missing_ == 0; }

 private:
  bool begin(unsigned char byte);

  int missing_ = 0;             // bytes of the character
  unsigned char least_ = 0x80;  // the next of them
  unsigned char most_ = 0xBF;
};

// Frames that one side receives: puts messages together, finds control frames between their
// fragments, and what is against the protocol.
class FrameReader {
 public:
  // A whole message or a control frame.
  struct Message {
    Opcode opcode = Opcode::kText;
    std::string payload{};
  };
  // The connection must be closed with this.
  using Fault = Closing;
  using Result = std::variant<std::monostate, Message, Fault>;

  FrameReader(Side receiver, std::size_t max_message_bytes)
      : receiver_(receiver), max_message_bytes_(max_message_bytes) {}

  // Takes from the front of `bytes`; nothing if more are wanted.
  Result next(std::string_view& bytes);
  // Bytes of the message that is coming.
  std::size_t buffered() const { return message_.size(); }

 private:
  struct Head {
    Opcode opcode = Opcode::kContinuation;
    bool final = true;
    std::uint32_t mask = 0;
    std::uint64_t size = 0;
    std::uint64_t taken = 0;  // bytes of the payload so far

    bool is_control() const { return opcode >= Opcode::kClose; }
  };

  // Whether the head is there; the fault, if it is wrong.
  std::optional<Fault> read_head(std::string_view& bytes);
  std::optional<Fault> check(const Head& head) const;
  std::optional<Fault> take_payload(std::string_view& bytes);
  std::optional<Message> finish();

  Side receiver_;
  std::size_t max_message_bytes_;
  std::optional<Head> head_{};          // of the frame that is coming
  std::optional<Opcode> fragmented_{};  // kind of the message that is coming
  std::string message_{};
  std::string control_{};
  Utf8Check utf8_{};
};

}  // namespace fvlm::net
