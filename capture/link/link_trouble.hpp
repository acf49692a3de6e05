// Why there is no connection to the server, in words for the log and the page: who, what happened,
// and what helps.
#pragma once

#include <boost/system/error_code.hpp>
#include <string>

namespace fvlm::capture {

// The server as those words call it.
struct ServerName {
  std::string host{};
  std::string port{};
  bool secure = false;   // wss://
  bool has_key = false;  // we send one
};

// No connection came about.
std::string connect_trouble(const ServerName& server, const boost::system::error_code& error);
// The connection ended before the server answered: `why` is what TLS or the socket said.
std::string handshake_trouble(const ServerName& server, const std::string& why);
// An answer to the request to open a WebSocket that is no consent. `body` is its text, or the
// beginning of that.
std::string status_trouble(const ServerName& server, int status, const std::string& body);
// What answers is no WebSocket.
std::string protocol_trouble(const ServerName& server);

}  // namespace fvlm::capture
