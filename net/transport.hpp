// WebSocket and HTTP on one port, without a word about what is said there: websocketpp's interface
// as values and calls, and its traps behind it (transport.cpp, which must be C++17).
//
// Everything of a Transport happens on the one thread that is in run(): events arrive there, and
// send() and close() may be called there only. Other threads use post().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fvlm::net {

using ConnectionId = std::uint64_t;

struct HttpRequest {
  std::string method{};
  std::string path{};  // without the query
  std::string host{};  // headers as sent, empty if absent
  std::string origin{};
  std::string authorization{};
  std::string peer{};  // address and port
  std::string body{};
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
};

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
  virtual HttpResponse on_http(const HttpRequest& request) = 0;
};

struct TransportOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 5000;  // 0: one that is free
  std::size_t max_message_bytes = std::size_t{8} << 20;
  std::size_t max_body_bytes = std::size_t{12} << 20;
  std::size_t max_connections = 1024;
  // Bytes that a client has not taken yet, beyond which it is closed.
  std::size_t max_unsent_bytes = std::size_t{4} << 20;
  std::chrono::seconds ping_interval{10};
  std::chrono::seconds longest_silence{25};
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Begins to listen. Throws std::system_error if the address cannot be had.
  static std::unique_ptr<Transport> listen(const TransportOptions& options,
                                           TransportEvents& events);

  virtual std::uint16_t port() const = 0;
  // Serves until stop() and the end of all connections. For one thread.
  virtual void run() = 0;
  // Runs `work` on the thread in run(), soon. Safe from any thread.
  virtual void post(std::function<void()> work) = 0;
  // Calls `work` there after a time, unless run() has ended.
  virtual void after(std::chrono::milliseconds time, std::function<void()> work) = 0;
  // Ids of connections that are gone are ignored.
  virtual void send(ConnectionId id, const std::string& text) = 0;
  virtual void close(ConnectionId id, CloseReason reason, const std::string& text) = 0;
  // Accepts nothing new.
  virtual void stop_listening() = 0;
  // Closes all connections, waits up to a second for the other sides' consent, and ends run().
  virtual void stop() = 0;
};

}  // namespace fvlm::net
