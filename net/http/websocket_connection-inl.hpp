// What the transport keeps of each connection, how it sets websocketpp up, and a few checks. C++17,
// like everything that includes websocketpp.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <websocketpp/server.hpp>

#include "net/http/address.hpp"
#include "net/http/connection_limits.hpp"
#include "net/http/transport.hpp"
#include "net/http/websocket_request-inl.hpp"

namespace fvlm::net {

// What we keep of a connection, as a part of websocketpp's own object.
struct ConnectionState : websocketpp::connection_base {
  ConnectionLimits::Place place;
  std::string client;                             // client_of() the other side
  ConnectionId id = 0;                            // of an open WebSocket
  std::chrono::steady_clock::time_point heard{};  // last whole message or pong
  std::uint64_t sent = 0;                         // bytes of messages so far
  std::uint64_t acknowledged = 0;  // of these, sent before the last ping that came back
  bool pinged = false;             // a ping awaits its pong
};

// The answer to a request. This form of set_status() is what websocketpp calls for one that it
// cannot read, of which nobody else hears; it would send a number and nothing more.
struct Response : websocketpp::http::parser::response {
  using websocketpp::http::parser::response::set_status;
  void set_status(websocketpp::http::status_code::value code, const std::string&) {
    set_status(code);
    const bool too_long = code == websocketpp::http::status_code::request_entity_too_large;
    const std::string message = too_long ? "the body is longer than --max-body-size of this server"
                                         : "this request cannot be read: " + get_status_msg();
    append_header("Content-Type", "application/json");
    append_header("Connection", "close");
    set_body(R"({"error": {"message": ")" + message + R"(", "type": "invalid_request_error"}})");
  }
};

template <class Base>
struct TransportConfig : Base {
  using response_type = Response;
  using connection_base = ConnectionState;
  // Messages of websocketpp's own log: errors go to TransportEvents, the rest is dropped.
  static const websocketpp::log::level alog_level = websocketpp::log::alevel::none;
  static const websocketpp::log::level elog_level = websocketpp::log::elevel::none;
};

// Timeout of the closing handshake.
inline constexpr std::chrono::milliseconds kLongestFarewell{2000};

// File descriptors reserved for files, the listening socket and the rest of the program.
inline constexpr std::size_t kOtherDescriptors = 64;

inline std::size_t connections_allowed(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const auto descriptors = static_cast<std::size_t>(limit.rlim_cur);
  return std::min(wanted, descriptors > 2 * kOtherDescriptors ? descriptors - kOtherDescriptors
                                                              : descriptors / 2);
}

inline bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace fvlm::net
