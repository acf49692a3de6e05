// Who sees the pictures: pages over WebSocket, programs that read an endless MJPEG response, and
// those that wait for a single picture. Flow control: each gets pictures only as fast as it
// receives them, so that a slow one neither fills memory nor sees stale pictures. All on the thread
// of the event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "capture/source/picture.hpp"
#include "net/http/transport.hpp"

namespace fvlm::capture {

class Viewers {
 public:
  using ViewerId = net::ConnectionId;
  // How a page gets pictures: as binary messages, or as the text that a function makes of a JPEG.
  enum class Form : std::uint8_t { kText, kBinary };
  using TextOf = std::function<std::string(const std::string& jpeg)>;

  // `wish` is called when wants_picture() may have become true.
  Viewers(net::Transport& transport, std::function<void()> wish)
      : transport_(transport), wish_(std::move(wish)) {}

  void open(ViewerId id);
  void set_form(ViewerId id, Form form);
  // What came back for a picture's ping.
  void acknowledge(ViewerId id, const std::string& number);
  void close(ViewerId id) { pages_.erase(id); }

  // The next picture answers it, with these headers.
  void wait(net::ExchangeId id, net::HttpHeaders headers);
  // So do all pictures.
  void stream(net::ExchangeId id, net::HttpHeaders headers);
  // What was sent so far has gone out.
  void flushed(net::ExchangeId id);
  void gone(net::ExchangeId id);

  // Whether anyone would take a picture now.
  bool wants_picture() const;
  // To everyone who would. Returns how many bytes were copied for it.
  std::uint64_t show(const Picture& picture, const TextOf& text_of);
  // Instead of a picture, to those who wait for a single one.
  void disappoint(const std::string& why);
  std::size_t count() const { return pages_.size() + streams_.size(); }
  // Ends what has no end.
  void stop();

 private:
  struct Page {
    Form form = Form::kText;
    std::uint64_t shown = 0;         // pictures so far
    std::uint64_t acknowledged = 0;  // of these

    bool is_free() const;
  };
  struct Stream {
    bool sending = true;

    bool is_free() const { return !sending; }
  };
  struct Waiting {
    net::ExchangeId id = 0;
    Clock::time_point since{};
    net::HttpHeaders headers{};
  };

  void disappoint_late();

  net::Transport& transport_;
  std::function<void()> wish_;
  std::map<ViewerId, Page> pages_{};
  std::map<net::ExchangeId, Stream> streams_{};
  std::vector<Waiting> waiting_{};
};

}  // namespace fvlm::capture
