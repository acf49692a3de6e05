#include "tests/support/raw_websocket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace fvlm {
namespace {

constexpr int kDeadlineMs = 60'000;

sockaddr_in address_of(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

std::string request_head(std::string_view method, std::string_view path, std::uint16_t port) {
  return std::string(method) + " " + std::string(path) +
         " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n";
}

}  // namespace

RawSocket::RawSocket(std::uint16_t port, const char* from)
    : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const sockaddr_in source = address_of(from, 0);
  const sockaddr_in server = address_of(kSelf, port);
  if (::bind(descriptor_, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0 ||
      ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
    ::close(descriptor_);
    throw std::runtime_error("cannot connect to port " + std::to_string(port));
  }
}

RawSocket::~RawSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RawSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the other side is gone, which reading will show
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool RawSocket::fill() {
  pollfd wait{descriptor_, POLLIN, 0};
  if (::poll(&wait, 1, kDeadlineMs) <= 0) throw std::runtime_error("the server says nothing");
  char bytes[65536];
  const auto count = ::recv(descriptor_, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  buffer_.append(bytes, static_cast<std::size_t>(count));
  return true;
}

std::string RawSocket::read_until(std::string_view end) {
  std::size_t at = 0;
  while ((at = buffer_.find(end)) == std::string::npos) {
    if (!fill()) return std::exchange(buffer_, {});
  }
  return read_bytes(at + end.size());
}

std::string RawSocket::read_bytes(std::size_t size) {
  while (buffer_.size() < size) {
    if (!fill()) break;
  }
  std::string bytes = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return bytes;
}

std::string RawSocket::read_all() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

void RawSocket::say_farewell() {
  ::shutdown(descriptor_, SHUT_WR);
}

void RawSocket::reset() {
  const linger now{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(descriptor_, -1));
}

std::string read_response(RawSocket& socket, bool head_only) {
  const auto field = [](const std::string& head, std::string_view name) {
    const std::string line = "\r\n" + std::string(name) + ": ";
    const std::size_t at = head.find(line);
    if (at == head.npos) return std::string();
    const std::size_t from = at + line.size();
    return head.substr(from, head.find("\r\n", from) - from);
  };
  std::string head = socket.read_until("\r\n\r\n");
  while (status_of(head) == 100) head = socket.read_until("\r\n\r\n");
  const bool bodiless = head_only || field(head, "Method") == "HEAD";
  if (bodiless || status_of(head) == 101 || status_of(head) == 204) return head;
  if (const std::string length = field(head, "Content-Length"); !length.empty()) {
    return head + socket.read_bytes(std::stoul(length));
  }
  if (field(head, "Transfer-Encoding").empty()) return head + socket.read_all();
  std::string whole = head;
  while (const std::size_t size = std::stoul("0" + socket.read_until("\r\n"), nullptr, 16)) {
    whole += socket.read_bytes(size);
    socket.read_bytes(2);
  }
  socket.read_until("\r\n");
  return whole;
}

std::string http(std::uint16_t port, std::string_view request, const char* from) {
  RawSocket socket(port, from);
  socket.send(request);
  return read_response(socket, request.starts_with("HEAD "));
}

std::string http_get(std::uint16_t port, std::string_view path, std::string_view headers,
                     const char* from) {
  return http(port, request_head("GET", path, port) + std::string(headers) + "\r\n", from);
}

int status_of(std::string_view answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::atoi(answer.data() + 9) : 0;
}

std::string_view body_of(std::string_view answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  return head == answer.npos ? "" : answer.substr(head + 4);
}

std::string client_frame(int opcode, std::string_view payload, bool final) {
  std::string frame(1, static_cast<char>(opcode | (final ? 0x80 : 0)));
  const std::size_t size = payload.size();
  const auto put = [&](std::size_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) frame += static_cast<char>(value >> (8 * i) & 0xff);
  };
  if (size < 126) {
    put(0x80 | size, 1);
  } else if (size < 65536) {
    put(0x80 | 126, 1);
    put(size, 2);
  } else {
    put(0x80 | 127, 1);
    put(size, 8);
  }
  constexpr std::string_view kMask = "mask";
  frame += kMask;
  for (std::size_t i = 0; i < size; ++i)
    frame += static_cast<char>(payload[i] ^ kMask[i % kMask.size()]);
  return frame;
}

RawWebSocket::RawWebSocket(std::uint16_t port, std::string_view headers, const char* from)
    : socket_(port, from) {
  socket_.send(request_head("GET", "/ws", port) +
               "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
               std::string(headers) + "\r\n");
  const std::string answer = socket_.read_until("\r\n\r\n");
  if (status_of(answer) != 101) throw std::runtime_error("refused: " + answer);
}

std::optional<RawWebSocket::Frame> RawWebSocket::next() {
  const auto number = [&](std::size_t bytes) {
    std::uint64_t value = 0;
    for (const char c : socket_.read_bytes(bytes))
      value = value << 8 | static_cast<unsigned char>(c);
    return value;
  };
  const std::string head = socket_.read_bytes(2);
  if (head.size() < 2) return std::nullopt;
  Frame frame;
  frame.opcode = head[0] & 0x0f;
  frame.final = (head[0] & 0x80) != 0;
  std::uint64_t size = static_cast<unsigned char>(head[1]);
  if (size == 126) {
    size = number(2);
  } else if (size == 127) {
    size = number(8);
  }
  frame.payload = socket_.read_bytes(size);
  return frame;
}

std::string RawWebSocket::next_text() {
  while (const auto frame = next()) {
    if (frame->opcode == kText) return frame->payload;
    if (frame->opcode == kPing) send(kPong, frame->payload);
    if (frame->opcode == kClose) return "";
  }
  return "";
}

}  // namespace fvlm
