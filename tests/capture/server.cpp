#include "tests/capture/server.hpp"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace fvlm::capture {
namespace {

bool read_exactly(int socket, std::string& bytes, std::size_t size) {
  bytes.resize(size);
  std::size_t got = 0;
  while (got < size) {
    const ssize_t count = ::recv(socket, bytes.data() + got, size - got, 0);
    if (count <= 0) return false;
    got += static_cast<std::size_t>(count);
  }
  return true;
}

// RFC 6455, 4.2.2.
std::string accept_key(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 32> encoded{};
  ::EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
  return reinterpret_cast<const char*>(encoded.data());
}

std::string header_of(const std::string& request, std::string_view name) {
  const std::size_t at = request.find("\r\n" + std::string(name) + ": ");
  if (at == std::string::npos) return "";
  const std::size_t from = at + 2 + name.size() + 2;
  return request.substr(from, request.find("\r\n", from) - from);
}

std::string server_frame(int opcode, const std::string& payload) {
  std::string frame(1, static_cast<char>(0x80 | opcode));
  if (payload.size() < 126) {
    frame += static_cast<char>(payload.size());
  } else {
    frame += static_cast<char>(126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size() & 255);
  }
  return frame + payload;
}

struct Message {
  int opcode = 0;
  bool masked = false;
  std::string payload{};
};

bool read_message(int socket, Message& message) {
  std::string head;
  if (!read_exactly(socket, head, 2)) return false;
  message.opcode = head[0] & 15;
  message.masked = (head[1] & 0x80) != 0;
  std::uint64_t size = static_cast<unsigned char>(head[1]) & 127U;
  if (size >= 126) {
    std::string more;
    if (!read_exactly(socket, more, size == 126 ? 2 : 8)) return false;
    size = 0;
    for (const char c : more) size = size << 8 | static_cast<unsigned char>(c);
  }
  std::string mask(4, '\0');
  if (message.masked && !read_exactly(socket, mask, 4)) return false;
  if (!read_exactly(socket, message.payload, size)) return false;
  for (std::size_t i = 0; i < size; ++i) {
    message.payload[i] = static_cast<char>(message.payload[i] ^ mask[i % 4]);
  }
  return true;
}

void send_all(int socket, const std::string& bytes) {
  ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);  // reading shows what goes wrong
}

}  // namespace

CameraServer::CameraServer(Respond respond, std::uint16_t port, bool keeps)
    : respond_(std::move(respond)),
      keeps_(keeps),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int yes = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 16) != 0) {
    ::close(listener_);
    throw std::runtime_error("cannot listen on port " + std::to_string(port));
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { accept(); });
}

CameraServer::~CameraServer() {
  ::shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& connection : connections_) connection.join();
  for (const int socket : sockets_) ::close(socket);
}

void CameraServer::accept() {
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    connections_.emplace_back([this, socket] { serve(socket); });
  }
}

bool CameraServer::shake_hands(int socket) {
  std::string request;
  std::string byte;
  while (!request.ends_with("\r\n\r\n")) {
    if (!read_exactly(socket, byte, 1)) return false;
    request += byte;
  }
  send_all(socket,
           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
               accept_key(header_of(request, "Sec-WebSocket-Key")) + "\r\n\r\n");
  const std::lock_guard lock(mutex_);
  requests_.push_back(request);
  return true;
}

void CameraServer::serve(int socket) {
  constexpr int kText = 1;
  constexpr int kBinary = 2;
  constexpr int kClose = 8;
  constexpr int kPing = 9;
  constexpr int kPong = 10;
  if (!shake_hands(socket)) return;
  Message message;
  while (read_message(socket, message) && message.opcode != kClose) {
    {
      const std::lock_guard lock(mutex_);
      if (!message.masked) violation_ = "a message without a mask";
      if (keeps_ && message.opcode == kBinary) pictures_.push_back(message.payload);
      if (keeps_ && message.opcode == kText) texts_.push_back(message.payload);
    }
    if (message.opcode == kPing) send_all(socket, server_frame(kPong, message.payload));
    if (message.opcode != kText && message.opcode != kBinary) continue;
    for (const std::string& text : respond_(message.opcode == kBinary, message.payload)) {
      send_all(socket, server_frame(kText, text));
    }
  }
  ::shutdown(socket, SHUT_RDWR);
}

std::vector<std::string> CameraServer::pictures() const {
  const std::lock_guard lock(mutex_);
  return pictures_;
}

std::vector<std::string> CameraServer::texts() const {
  const std::lock_guard lock(mutex_);
  return texts_;
}

std::vector<std::string> CameraServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::string CameraServer::violation() const {
  const std::lock_guard lock(mutex_);
  return violation_;
}

std::string original_description(const std::string& content) {
  return R"({"type": "description", "content": ")" + content +
         R"(", "timestamp": "20261123_081700"})";
}

}  // namespace fvlm::capture
