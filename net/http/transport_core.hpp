// What the connections of one transport share.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <string>

#include "net/http/connection_limits.hpp"
#include "net/http/proxy.hpp"
#include "net/http/receive_budget.hpp"
#include "net/http/request_id.hpp"
#include "net/http/transport.hpp"

namespace fvlm::net {

class HttpSession;
class Stream;
class WebSocketSession;

// The other side of a connection.
struct Peer {
  std::string address{};  // and port
  std::string client{};   // client_of() it
  bool secure = false;    // over TLS
  bool is_proxy = false;  // that is trusted
};

inline std::size_t received_of_address(const TransportOptions& options) {
  return share_of(options.max_received_bytes, options.max_received_bytes_per_address);
}

struct TransportCore {
  TransportOptions options{};
  TransportEvents* events = nullptr;
  TrustedProxies proxies{options.trusted_proxies};
  RequestIds request_ids{};
  ReceiveBudget received{options.max_received_bytes, received_of_address(options)};
  std::uint64_t last_id = 0;  // of exchanges and WebSockets
  std::map<ExchangeId, HttpSession*> exchanges{};
  std::map<ConnectionId, WebSocketSession*> peers{};
  bool draining = false;  // connections end with their next response

  // Whether `work` does not throw. What it throws is reported.
  template <class Work>
  bool survives(const Work& work) {
    try {
      work();
      return true;
    } catch (const std::exception& error) {
      events->on_error(error.what());
      return false;
    }
  }
  // Makes the connection of `request` a WebSocket.
  void open(Stream& stream, const HttpRequest& request, ConnectionLimits::Place place);
};

}  // namespace fvlm::net
