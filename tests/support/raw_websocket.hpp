// A WebSocket client that sends exactly the bytes it is told to, right or wrong (RFC 6455), and a
// HTTP client of the same kind. Every wait has a deadline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fvlm {

inline constexpr char kSelf[] = "127.0.0.1";
inline constexpr char kOther[] = "127.0.0.2";  // another client's address on this machine

// A TCP connection to 127.0.0.1.
class RawSocket {
 public:
  explicit RawSocket(std::uint16_t port, const char* from = kSelf);
  ~RawSocket();
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  void send(std::string_view bytes);
  // Reads until `end` was seen, `size` bytes are there, or the other side closes.
  std::string read_until(std::string_view end);
  std::string read_bytes(std::size_t size);
  // All that comes until the other side closes.
  std::string read_all();
  // Sends nothing more.
  void say_farewell();
  // Closes with a reset instead of a farewell.
  void reset();

 private:
  bool fill();

  int descriptor_ = -1;
  std::string buffer_;
};

// The next response, head and body, without the framing of chunks and without "100 Continue".
std::string read_response(RawSocket& socket, bool head_only = false);
// The whole response to one request.
std::string http(std::uint16_t port, std::string_view request, const char* from = kSelf);
// The same for a GET, with more header lines (each ending in "\r\n").
std::string http_get(std::uint16_t port, std::string_view path, std::string_view headers = "",
                     const char* from = kSelf);
int status_of(std::string_view answer);
std::string_view body_of(std::string_view answer);

// One frame as a client sends it, masked.
std::string client_frame(int opcode, std::string_view payload, bool final = true);

class RawWebSocket {
 public:
  enum Opcode { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
  struct Frame {
    int opcode = 0;
    bool final = true;
    std::string payload;
  };

  // Throws if the server refuses.
  explicit RawWebSocket(std::uint16_t port, std::string_view headers = "",
                        const char* from = kSelf);

  void send(int opcode, std::string_view payload) { socket_.send(client_frame(opcode, payload)); }
  // The next frame; nothing if the connection has ended.
  std::optional<Frame> next();
  // The next text, answering pings on the way; empty if the connection has ended.
  std::string next_text();
  RawSocket& socket() { return socket_; }

 private:
  RawSocket socket_;
};

}  // namespace fvlm
