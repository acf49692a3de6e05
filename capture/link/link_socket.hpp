// A WebSocket to the server, ws:// or wss://, for one try: it opens and closes once, or fails. Link
// says what is spoken over it and when to try anew. All on the thread of the event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "capture/source/picture.hpp"
#include "capture/source/trouble.hpp"
#include "net/http/event_loop.hpp"

namespace fvlm::capture {

struct ServerAddress {
  std::string url = "ws://127.0.0.1:5000/ws";
  std::string api_key{};  // empty: none is sent
  std::string ca_file{};  // of whom to trust with wss://; empty: whom the system trusts
};

class LinkSocket {
 public:
  struct Events {
    std::function<void()> opened{};
    std::function<void(const std::string& text)> text{};
    // The last one, also if it never opened. Not for a close() by ourselves.
    std::function<void(const Trouble& why)> closed{};
  };

  // No events come after destruction, which closes it.
  virtual ~LinkSocket() = default;
  virtual void send(const std::string& text) = 0;
  // As one binary message. Returns how many bytes were moved in memory for it.
  virtual std::uint64_t send(const Picture& picture) = 0;
};

// Throws std::invalid_argument if the address is none.
void check_address(const ServerAddress& address);
// "HOST:PORT" of one that is checked.
std::string place_of(const ServerAddress& address);
std::unique_ptr<LinkSocket> connect(net::EventLoop& loop, const ServerAddress& address,
                                    LinkSocket::Events events);

}  // namespace fvlm::capture
