// WebSocket and HTTP/1.1 on one port, with or without TLS, independent of the messages: an
// interface of values and calls over Boost.Asio, whose types stay behind it. Requests of one
// connection are answered in their order, one after the other; a WebSocket takes the connection
// over.
//
// A Transport is single-threaded: events arrive on the thread in run(), and calls may be made there
// only. Other threads use post().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/http/event_loop.hpp"
#include "net/http/http.hpp"

namespace fvlm::net {

using ConnectionId = std::uint64_t;  // of a WebSocket
using ExchangeId = std::uint64_t;    // of one HTTP request and its response

// Why the server closes a connection (RFC 6455, 7.4.1).
enum class CloseReason : std::uint16_t {
  kGoingAway = 1001,
  kPolicy = 1008,
  kOverload = 1013,
};

// How the end of a streamed response shows.
enum class StreamedBody : std::uint8_t {
  kChunks,    // by itself, except to clients of HTTP/1.0; the connection goes on
  kUntilEnd,  // with the connection
};

class TransportEvents {
 public:
  virtual ~TransportEvents() = default;
  // Looks at a request whose body may not have come yet. A response refuses it, and the body is not
  // read.
  // It may set the request's key.
  virtual std::optional<HttpResponse> on_head(HttpRequest& request) = 0;
  // Answers a request to open a WebSocket: status 101 accepts it, any other is the refusal. It may
  // set the request's key.
  virtual HttpResponse on_upgrade(HttpRequest& request) = 0;
  virtual void on_open(ConnectionId id, const HttpRequest& request) = 0;
  virtual void on_message(ConnectionId id, std::string payload, bool binary) = 0;
  // The client has received all that was sent before ping() with this payload.
  virtual void on_pong(ConnectionId, const std::string& /*payload*/) {}
  // Once for each on_open.
  virtual void on_close(ConnectionId id) = 0;
  // Answers a request at once, or with nothing if Transport::respond() will.
  virtual std::optional<HttpResponse> on_http(ExchangeId id, HttpRequest request) = 0;
  // All of a streamed response so far has been sent.
  virtual void on_http_flushed(ExchangeId) {}
  // A response that is pending or being streamed is no longer wanted: the client has disconnected,
  // does not read, or timed out.
  virtual void on_http_gone(ExchangeId id) = 0;
  // The response to a request that the transport itself refuses, such as one that cannot be read:
  // `request` has what could be, or nothing.
  virtual HttpResponse refusal(const HttpRequest& request, int status, const std::string& why) = 0;
  // A request has been answered, or its client has left.
  virtual void on_exchange(const HttpExchange&) {}
  // A handler or posted work has thrown. Its connection or exchange is closed; all others continue.
  virtual void on_error(const std::string& what) = 0;
};

struct TransportOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 5000;       // 0: one that is free
  std::string certificate_file{};  // PEM, with the chain; empty: no TLS
  std::string key_file{};          // PEM
  // Behind reverse proxies: where the paths of all requests begin, without a final slash; and the
  // proxies that are believed whom a request comes from: addresses or networks. See proxy.hpp.
  std::string base_path{};
  std::vector<std::string> trusted_proxies{};
  std::size_t max_message_bytes = std::size_t{8} << 20;
  std::size_t max_body_bytes = std::size_t{32} << 20;
  // Of all clients, and of one address of these; 0: a quarter. See ReceiveBudget.
  std::size_t max_received_bytes = std::size_t{512} << 20;
  std::size_t max_received_bytes_per_address = 0;
  std::size_t max_connections = 1024;
  std::size_t max_connections_per_address = 0;  // of these; 0: a quarter
  // Send buffer of a client: bytes it has not received yet, beyond which it is closed.
  std::size_t max_unsent_bytes = std::size_t{4} << 20;
  std::chrono::milliseconds ping_interval{10'000};
  std::chrono::milliseconds idle_timeout{25'000};  // of a WebSocket
  // Of an HTTP request, from connecting, or from its first byte on a connection that has had
  // others:
  std::chrono::milliseconds header_timeout{10'000};     // until its head is there
  std::chrono::milliseconds request_timeout{20'000};    // until it is whole
  std::chrono::milliseconds response_timeout{600'000};  // from there to the whole response; 0: none
  std::chrono::milliseconds keep_alive_timeout{75'000};  // between two requests of a connection
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Takes the address, on which clients are refused until open(). Throws std::runtime_error if it
  // cannot be had, or the certificate or its key cannot be used, with what to do.
  static std::unique_ptr<Transport> bind(const TransportOptions& options);
  // Begins to listen. Throws std::runtime_error if another has begun in between.
  virtual void open(TransportEvents& events) = 0;
  // Both.
  static std::unique_ptr<Transport> listen(const TransportOptions& options,
                                           TransportEvents& events);
  // Both on a loop of the caller's, who runs it and outlives the transport with it.
  static std::unique_ptr<Transport> listen(EventLoop& loop, const TransportOptions& options,
                                           TransportEvents& events);

  virtual std::uint16_t port() const = 0;
  // Another certificate for new connections, other limits, timeouts and proxies from now on; host,
  // port and base path stay. Throws std::runtime_error, and changes nothing, if the certificate or
  // its key cannot be used, or there was none before.
  virtual void set(const TransportOptions& options) = 0;
  // Connections that were closed or refused at a limit. Not while run() runs on another thread.
  virtual std::uint64_t refused_connections() const = 0;
  // Serves until stop() and the end of all connections. For one thread.
  virtual void run() = 0;
  // Runs `work` on the thread in run(), soon. Safe from any thread.
  virtual void post(std::function<void()> work) = 0;
  // Calls `work` there after a time, unless run() has ended.
  virtual void after(std::chrono::milliseconds time, std::function<void()> work) = 0;

  // Ids of connections and exchanges that are gone are ignored.
  virtual void send(ConnectionId id, SharedBytes payload, bool binary) = 0;
  void send(ConnectionId id, std::string text) { send(id, share(std::move(text)), false); }
  // At most 100 bytes.
  virtual void ping(ConnectionId id, const std::string& payload) = 0;
  virtual void close(ConnectionId id, CloseReason reason, const std::string& text) = 0;
  // The response that on_http left open.
  virtual void respond(ExchangeId id, HttpResponse response) = 0;
  // Its beginning, and what follows.
  virtual void begin_response(ExchangeId id, HttpResponse response,
                              StreamedBody body = StreamedBody::kChunks) = 0;
  virtual void add_to_response(ExchangeId id, SharedBytes piece) = 0;
  void add_to_response(ExchangeId id, std::string piece) {
    add_to_response(id, share(std::move(piece)));
  }
  virtual void finish_response(ExchangeId id) = 0;
  // Ends its connection without finishing it.
  virtual void abandon_response(ExchangeId id) = 0;

  // From now on each connection ends with its response, or its next one.
  virtual void drain() = 0;
  // Closes the listening socket.
  virtual void stop_listening() = 0;
  // Closes all connections, waits up to a second for their closing handshakes, and ends run().
  virtual void stop() = 0;
};

}  // namespace fvlm::net
