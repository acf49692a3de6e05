// WebSocket and HTTP on one port, with or without TLS, independent of the messages: an interface of
// values and calls over websocketpp, whose pitfalls stay behind it (websocket_transport-inl.hpp,
// which must be C++17).
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

class TransportEvents {
 public:
  virtual ~TransportEvents() = default;
  // Answers a request to open a WebSocket: status 101 accepts it, any other is the refusal.
  virtual HttpResponse on_upgrade(const HttpRequest& request) = 0;
  virtual void on_open(ConnectionId id, const HttpRequest& request) = 0;
  virtual void on_message(ConnectionId id, std::string payload, bool binary) = 0;
  // Once for each on_open.
  virtual void on_close(ConnectionId id) = 0;
  // Answers a request at once, or with nothing if Transport::respond() will.
  virtual std::optional<HttpResponse> on_http(ExchangeId id, HttpRequest request) = 0;
  // A response that is pending or being streamed is no longer wanted: the client has disconnected,
  // does not read, or timed out.
  virtual void on_http_gone(ExchangeId id) = 0;
  // A handler or posted work has thrown. Its connection or exchange is closed; all others continue.
  virtual void on_error(const std::string& what) = 0;
};

struct TransportOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 5000;       // 0: one that is free
  std::string certificate_file{};  // PEM, with the chain; empty: no TLS
  std::string key_file{};          // PEM
  std::size_t max_message_bytes = std::size_t{8} << 20;
  std::size_t max_body_bytes = std::size_t{12} << 20;
  std::size_t max_connections = 1024;
  std::size_t max_connections_per_address = 0;  // of these; 0: a quarter
  // Send buffer of a client: bytes it has not received yet, beyond which it is closed.
  std::size_t max_unsent_bytes = std::size_t{4} << 20;
  std::chrono::milliseconds ping_interval{10'000};
  std::chrono::milliseconds idle_timeout{25'000};       // of a WebSocket
  std::chrono::milliseconds request_timeout{20'000};    // from connecting to a whole HTTP request
  std::chrono::milliseconds response_timeout{600'000};  // from there to the whole HTTP response
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Begins to listen. Throws std::system_error if the address cannot be had, std::runtime_error if
  // the certificate or its key cannot be used.
  static std::unique_ptr<Transport> listen(const TransportOptions& options,
                                           TransportEvents& events);

  virtual std::uint16_t port() const = 0;
  // Connections that were closed or refused at a limit. Not while run() runs on another thread.
  virtual std::uint64_t refused_connections() const = 0;
  // Serves until stop() and the end of all connections. For one thread.
  virtual void run() = 0;
  // Runs `work` on the thread in run(), soon. Safe from any thread.
  virtual void post(std::function<void()> work) = 0;
  // Calls `work` there after a time, unless run() has ended.
  virtual void after(std::chrono::milliseconds time, std::function<void()> work) = 0;

  // Ids of connections and exchanges that are gone are ignored.
  virtual void send(ConnectionId id, const std::string& text) = 0;
  virtual void close(ConnectionId id, CloseReason reason, const std::string& text) = 0;
  // The answer that on_http left open; with `more`, its beginning.
  virtual void respond(ExchangeId id, const HttpResponse& response, bool more = false) = 0;
  virtual void add_to_response(ExchangeId id, const std::string& piece) = 0;
  virtual void finish_response(ExchangeId id) = 0;

  // Closes the listening socket.
  virtual void stop_listening() = 0;
  // Closes all connections, waits up to a second for their closing handshakes, and ends run().
  virtual void stop() = 0;
};

}  // namespace fvlm::net
