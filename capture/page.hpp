// The web server on port 8080: the page and its files, what its cameras' views show, and for other
// programs pictures, /metrics and /healthz. Each camera has paths of its own,
//     /cameras/NAME/{ws,snapshot.jpg,stream.mjpg,healthz}
// and /cameras.json tells the page which there are. /ws, /snapshot.jpg and /stream.mjpg are the
// first camera's.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capture/view.hpp"
#include "net/http/event_loop.hpp"
#include "net/http/gate.hpp"
#include "net/http/transport.hpp"
#include "net/http/web_page.hpp"
#include "net/process/log.hpp"

namespace fvlm::capture {

struct PageOptions {
  // The limits are those of one camera.
  net::TransportOptions transport{.port = 8080,
                                  .max_message_bytes = std::size_t{64} << 10,
                                  .max_body_bytes = std::size_t{64} << 10,
                                  .max_connections = 64,
                                  // A browser takes up to six for a page.
                                  .max_connections_per_address = 32,
                                  // Two pictures are underway to one viewer at most.
                                  .max_unsent_bytes = std::size_t{64} << 20,
                                  .response_timeout = std::chrono::milliseconds(0)};
  net::AccessOptions access{};
};

// A view and what counts for it.
struct PageCamera {
  View* view = nullptr;
  const Counters* counters = nullptr;
};

class Page final : private net::TransportEvents {
 public:
  // Begins to listen. At least one camera; all outlive the page. Throws std::runtime_error if it
  // cannot listen, or if the options would allow unauthenticated access from other machines.
  Page(net::EventLoop& loop, PageOptions options, std::vector<PageCamera> cameras, net::Log log);

  std::uint16_t port() const { return transport_->port(); }
  void stop();

 private:
  using ViewerId = View::ViewerId;

  // A path, divided: "/cameras/door/snapshot.jpg" is the camera "door" and "/snapshot.jpg".
  struct Place {
    View* view = nullptr;  // none: there is no such camera
    std::string_view rest{};
  };

  std::optional<net::HttpResponse> on_head(net::HttpRequest& request) override;
  net::HttpResponse on_upgrade(net::HttpRequest& request) override;
  void on_open(ViewerId id, const net::HttpRequest& request) override;
  void on_message(ViewerId id, std::string payload, bool binary) override;
  void on_pong(ViewerId id, const std::string& payload) override;
  void on_close(ViewerId id) override;
  std::optional<net::HttpResponse> on_http(net::ExchangeId id, net::HttpRequest request) override;
  void on_http_flushed(net::ExchangeId id) override;
  void on_http_gone(net::ExchangeId id) override;
  net::HttpResponse refusal(const net::HttpRequest& request, int status,
                            const std::string& why) override;
  void on_error(const std::string& what) override;

  Place place_of(std::string_view path) const;
  std::optional<net::HttpResponse> refuse(net::HttpRequest& request);
  // With whom may read or embed it.
  net::HttpHeaders headers_for(const net::HttpRequest& request) const;
  // Nothing if pictures answer it.
  std::optional<net::HttpResponse> answer(net::ExchangeId id, const net::HttpRequest& request);
  net::HttpResponse list() const;
  // Of all cameras.
  net::HttpResponse health() const;
  net::HttpResponse metrics() const;

  PageOptions options_;
  std::vector<PageCamera> cameras_;
  net::Log log_;
  net::WebPage files_;
  net::Gate gate_;
  std::map<ViewerId, View*> viewers_{};
  std::unique_ptr<net::Transport> transport_;
};

}  // namespace fvlm::capture
