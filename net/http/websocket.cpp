#include "net/http/websocket.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cstring>
#include <utility>

namespace fvlm::net {
namespace {

constexpr std::uint64_t kMostOfControl = 125;

template <std::size_t kSize>
std::string base64(const std::array<unsigned char, kSize>& bytes) {
  std::array<unsigned char, 4 * ((kSize + 2) / 3) + 1> text{};
  const int size = ::EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(kSize));
  return {text.begin(), text.begin() + size};
}

// 16 bytes in Base64.
bool is_websocket_key(std::string_view key) {
  return key.size() == 24 && key.ends_with("==") &&
         std::all_of(key.begin(), key.end() - 2,
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '/'; });
}

// RFC 6455, 7.4, and what IANA has added.
bool may_be_sent(int code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

void append_big_endian(std::uint64_t value, int bytes, std::string& to) {
  for (int i = bytes - 1; i >= 0; --i) to += static_cast<char>(value >> (8 * i) & 0xFF);
}

}  // namespace

std::optional<HttpParser::Fault> wrong_handshake(const HttpRequest& request,
                                                 const HttpParser::Head& head) {
  using Fault = HttpParser::Fault;
  if (request.method != "GET" || !head.http_1_1) {
    return Fault{400, "a WebSocket begins with a GET of HTTP/1.1"};
  }
  if (head.has_body) return Fault{400, "a WebSocket begins without a body"};
  if (head.websocket_version != "13") return Fault{426, "WebSocket version 13 is wanted"};
  if (is_websocket_key(head.websocket_key)) return std::nullopt;
  return Fault{400, "Sec-WebSocket-Key must be 16 bytes in Base64"};
}

std::string accept_key(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return base64(digest);
}

std::string random_key() {
  std::array<unsigned char, 16> bytes{};
  ::RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  return base64(bytes);
}

std::uint32_t random_mask() {
  std::array<unsigned char, sizeof(std::uint32_t)> bytes{};
  ::RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  return std::bit_cast<std::uint32_t>(bytes);
}

std::string frame_head(Opcode opcode, std::size_t size, std::optional<std::uint32_t> mask) {
  std::string head(1, static_cast<char>(0x80 | static_cast<int>(opcode)));
  const int masked = mask ? 0x80 : 0;
  if (size <= 125) {
    head += static_cast<char>(masked | static_cast<int>(size));
  } else if (size <= 0xFFFF) {
    head += static_cast<char>(masked | 126);
    append_big_endian(size, 2, head);
  } else {
    head += static_cast<char>(masked | 127);
    append_big_endian(size, 8, head);
  }
  if (mask) append_big_endian(*mask, 4, head);
  return head;
}

// Eight bytes at a time. The mask's first byte is its highest.
void apply_mask(std::uint32_t mask, char* bytes, std::size_t size, std::size_t offset) {
  mask = std::rotl(mask, static_cast<int>(8 * (offset % 4)));
  std::array<char, 8> pattern{};
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    pattern[i] = static_cast<char>(mask >> (24 - 8 * (i % 4)) & 0xFF);
  }
  const auto twice = std::bit_cast<std::uint64_t>(pattern);
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, 8);
    word ^= twice;
    std::memcpy(bytes + at, &word, 8);
  }
  for (; at < size; ++at) bytes[at] = static_cast<char>(bytes[at] ^ pattern[at % 8]);
}

std::string close_payload(const Closing& closing) {
  std::string payload;
  append_big_endian(closing.code, 2, payload);
  return payload + closing.reason.substr(0, kMostOfControl - 2);
}

std::optional<Closing> read_close_payload(std::string_view payload) {
  if (payload.empty()) return Closing{};
  if (payload.size() == 1) return std::nullopt;
  Closing closing{static_cast<std::uint16_t>(big_endian(payload.substr(0, 2))),
                  std::string(payload.substr(2))};
  Utf8Check text;
  if (!may_be_sent(closing.code) || !text.add(closing.reason) || !text.whole()) return std::nullopt;
  return closing;
}

// Unicode 15, table 3-7.
bool Utf8Check::begin(unsigned char byte) {
  if (byte < 0x80) return true;
  if (byte < 0xC2 || byte > 0xF4) return false;
  missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  if (byte == 0xE0) least_ = 0xA0;
  if (byte == 0xED) most_ = 0x9F;
  if (byte == 0xF0) least_ = 0x90;
  if (byte == 0xF4) most_ = 0x8F;
  return true;
}

bool Utf8Check::add(std::string_view bytes) {
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (missing_ == 0) {
      if (!begin(byte)) return false;
      continue;
    }
    if (byte < least_ || byte > most_) return false;
    least_ = 0x80;
    most_ = 0xBF;
    --missing_;
  }
  return true;
}

FrameReader::Result FrameReader::next(std::string_view& bytes) {
  while (true) {
    if (!head_) {
      if (auto fault = read_head(bytes)) return *std::move(fault);
      if (!head_) return {};
    }
    if (auto fault = take_payload(bytes)) return *std::move(fault);
    if (head_->taken < head_->size) return {};
    if (auto message = finish()) {
      if (message->opcode == Opcode::kText && !utf8_.whole()) {
        return Fault{close_code::kNoUtf8, "a text is not UTF-8"};
      }
      return *std::move(message);
    }
  }
}

std::optional<FrameReader::Fault> FrameReader::read_head(std::string_view& bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto first = static_cast<unsigned char>(bytes[0]);
  const auto second = static_cast<unsigned char>(bytes[1]);
  Head head;
  head.opcode = static_cast<Opcode>(first & 0x0F);
  head.final = (first & 0x80) != 0;
  head.size = second & 0x7F;
  const bool masked = (second & 0x80) != 0;
  if ((first & 0x70) != 0) return Fault{close_code::kProtocolError, "a reserved bit is set"};
  if (masked != (receiver_ == Side::kServer)) {
    return Fault{close_code::kProtocolError,
                 masked ? "a server masks nothing" : "a client must mask"};
  }
  if (auto fault = check(head)) return fault;
  const std::size_t longer = head.size == 126 ? 2 : head.size == 127 ? 8 : 0;
  const std::size_t size = 2 + longer + (masked ? 4 : 0);
  if (bytes.size() < size) return std::nullopt;
  if (longer > 0) {
    head.size = big_endian(bytes.substr(2, longer));
    const bool shortest = head.size > (longer == 2 ? 125U : 0xFFFFU);
    if (!shortest || head.size >> 63 != 0)
      return Fault{close_code::kProtocolError, "a length is wrong"};
  }
  if (!head.is_control() && head.size > max_message_bytes_ - message_.size()) {
    return Fault{close_code::kTooBig, "a message is too long"};
  }
  if (masked) head.mask = static_cast<std::uint32_t>(big_endian(bytes.substr(2 + longer, 4)));
  bytes.remove_prefix(size);
  head_ = head;
  if (!head.is_control() && head.opcode != Opcode::kContinuation) {
    fragmented_ = head.opcode;
    utf8_ = {};
  }
  return std::nullopt;
}

std::optional<FrameReader::Fault> FrameReader::check(const Head& head) const {
  const auto wrong = [](const char* why) { return Fault{close_code::kProtocolError, why}; };
  switch (head.opcode) {
    case Opcode::kContinuation:
      if (!fragmented_) return wrong("there is nothing to continue");
      return std::nullopt;
    case Opcode::kText:
    case Opcode::kBinary:
      if (fragmented_) return wrong("a message begins inside another");
      return std::nullopt;
    case Opcode::kClose:
    case Opcode::kPing:
    case Opcode::kPong:
      if (!head.final) return wrong("a control frame is fragmented");
      if (head.size > kMostOfControl) return wrong("a control frame is too long");
      return std::nullopt;
  }
  return wrong("an opcode is reserved");
}

std::optional<FrameReader::Fault> FrameReader::take_payload(std::string_view& bytes) {
  const auto size =
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), head_->size - head_->taken));
  std::string& payload = head_->is_control() ? control_ : message_;
  const std::size_t before = payload.size();
  payload.append(bytes.substr(0, size));
  bytes.remove_prefix(size);
  if (receiver_ == Side::kServer) {
    apply_mask(head_->mask, payload.data() + before, size, static_cast<std::size_t>(head_->taken));
  }
  head_->taken += size;
  const bool text = !head_->is_control() && fragmented_ == Opcode::kText;
  if (text && !utf8_.add(std::string_view(payload).substr(before))) {
    return Fault{close_code::kNoUtf8, "a text is not UTF-8"};
  }
  return std::nullopt;
}

std::optional<FrameReader::Message> FrameReader::finish() {
  const Head head = *std::exchange(head_, std::nullopt);
  if (head.is_control()) return Message{head.opcode, std::exchange(control_, {})};
  if (!head.final) return std::nullopt;
  return Message{*std::exchange(fragmented_, std::nullopt), std::exchange(message_, {})};
}

}  // namespace fvlm::net
