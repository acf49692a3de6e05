// WebSocket and HTTP on one port, with or without TLS, and without a word about what is said there:
// websocketpp's interface as values and calls, and its traps behind it
// (websocket_transport-inl.hpp, which must be C++17).
//
// Everything of a Transport happens on the one thread that is in run(): events arrive there, and
// calls may be made there only. Other threads use post().
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
using ExchangeId = std::uint64_t;    // of one HTTP request and its answer

// Why a connection is closed by us (RFC 6455, 7.4.1).
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
  // Nobody waits any more for an answer that was to come or to go on: the client is gone, does not
  // read, or its time is over.
  virtual void on_http_gone(ExchangeId id) = 0;
  // A handler or posted work has thrown. What it was for is ended; all else goes on.
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
  // Bytes that a client has not taken yet, beyond which it is closed.
  std::size_t max_unsent_bytes = std::size_t{4} << 20;
  std::chrono::milliseconds ping_interval{10'000};
  std::chrono::milliseconds longest_silence{25'000};  // of a WebSocket
  std::chrono::milliseconds longest_request{20'000};  // from connecting to a whole HTTP request
  std::chrono::milliseconds longest_answer{600'000};  // from there to a whole HTTP answer
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Begins to listen. Throws std::system_error if the address cannot be had, std::runtime_error if
  // the certificate or its key cannot be used.
  static std::unique_ptr<Transport> listen(const TransportOptions& options,
                                           TransportEvents& events);

  virtual std::uint16_t port() const = 0;
  // Connections that were cut or refused because there were too many. Not while run() is elsewhere.
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

  // Accepts nothing new.
  virtual void stop_listening() = 0;
  // Closes all connections, waits up to a second for the other sides' consent, and ends run().
  virtual void stop() = 0;
};

}  // namespace fvlm::net
