// Why there is no connection to the server: who, what happened, and what helps.
#pragma once

#include <boost/system/error_code.hpp>
#include <string>

#include "capture/source/trouble.hpp"

namespace fvlm::capture {

// The server as those words call it.
struct ServerName {
  std::string host{};
  std::string port{};
  bool secure = false;   // wss://
  bool has_key = false;  // we send one
};

// "HOST:PORT"
std::string place_of(const ServerName& server);

// No connection came about.
Trouble connect_trouble(const ServerName& server, const boost::system::error_code& error);
// The connection ended before the server answered: `why` is what TLS or the socket said.
Trouble handshake_trouble(const ServerName& server, const std::string& why);
// An answer to the request to open a WebSocket that is no consent. `body` is its text, or the
// beginning of that.
Trouble status_trouble(const ServerName& server, int status, const std::string& body);
// What answers is no WebSocket.
Trouble protocol_trouble(const ServerName& server);

}  // namespace fvlm::capture
