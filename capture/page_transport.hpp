// WebSocket and HTTP for the page, on one port; PageEvents decides what to answer. Flow control: a
// viewer gets pictures only as fast as it receives them, so that a slow one neither fills memory
// nor sees stale pictures. All on the thread of the event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "capture/link/event_loop.hpp"
#include "capture/source/picture.hpp"
#include "net/http/http.hpp"

namespace fvlm::capture {

using ViewerId = std::uint64_t;

struct PageAnswer {
  net::HttpResponse response{};
  enum class Follow {
    kNothing,
    kPicture,   // neither type nor body: the next picture is the body
    kPictures,  // the same, with pictures without end, multipart/x-mixed-replace
  } follow = Follow::kNothing;
};

class PageEvents {
 public:
  virtual ~PageEvents() = default;
  // Status 101 accepts a WebSocket, any other is the refusal.
  virtual net::HttpResponse on_upgrade(const net::HttpRequest& request) = 0;
  virtual PageAnswer on_request(const net::HttpRequest& request) = 0;
  virtual void on_open(ViewerId id, const net::HttpRequest& request) = 0;
  virtual void on_text(ViewerId id, const std::string& text) = 0;
  // Once for each on_open.
  virtual void on_close(ViewerId id) = 0;
};

struct PageAddress {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;  // 0: one that is free
  std::size_t max_connections = 64;
  std::size_t max_connections_per_address = 32;  // a browser takes up to six for a page
};

class PageTransport {
 public:
  virtual ~PageTransport() = default;
  // Begins to listen. Throws std::system_error if the address cannot be had.
  static std::unique_ptr<PageTransport> listen(EventLoop& loop, const PageAddress& address,
                                               PageEvents& events);

  virtual std::uint16_t port() const = 0;
  virtual void send(ViewerId id, const std::string& text) = 0;

  // How a viewer gets pictures: as binary messages, or as the text that `text_of` makes.
  enum class Form { kText, kBinary };
  virtual void set_form(ViewerId id, Form form) = 0;
  // Whether any viewer would take a picture now.
  virtual bool wants_picture() const = 0;
  // To every viewer that would. Returns how many bytes were copied for it.
  using TextOf = std::function<std::string(const std::string& jpeg)>;
  virtual std::uint64_t show(const Picture& picture, const TextOf& text_of) = 0;
  // Instead of a picture, to those who wait for a single one.
  virtual void disappoint(const std::string& why) = 0;
  virtual std::size_t viewers() const = 0;
  // Called when wants_picture() may have become true.
  virtual void on_wish(std::function<void()> wish) = 0;
  // Closes everything; viewers are told.
  virtual void stop() = 0;
};

}  // namespace fvlm::capture
