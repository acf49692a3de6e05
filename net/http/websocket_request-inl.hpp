// What the server's and the camera page's connections share: the peer's address, its request and
// the response. C++17, like everything that includes websocketpp.
#pragma once

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <websocketpp/common/connection_hdl.hpp>
#include <websocketpp/http/constants.hpp>

#include "net/http/address.hpp"
#include "net/http/connection_limits.hpp"
#include "net/http/http.hpp"

namespace fvlm::net {

// A request without its body.
template <class Connection>
HttpRequest request_of(const Connection& connection) {
  const auto& headers = connection.get_request();
  const std::string& target = headers.get_uri();
  HttpRequest request;
  request.method = headers.get_method();
  request.path = target.substr(0, target.find('?'));
  request.host = headers.get_header("Host");
  request.origin = headers.get_header("Origin");
  request.referer = headers.get_header("Referer");
  request.fetch_site = headers.get_header("Sec-Fetch-Site");
  request.fetch_mode = headers.get_header("Sec-Fetch-Mode");
  request.fetch_dest = headers.get_header("Sec-Fetch-Dest");
  request.fetch_user = headers.get_header("Sec-Fetch-User");
  request.authorization = headers.get_header("Authorization");
  request.peer = connection.get_remote_endpoint();
  request.client = connection.client;
  request.secure = connection.is_secure();
  return request;
}

// Of the other side; empty if that is gone.
template <class Connection>
std::string client_of(Connection& connection) {
  std::error_code error;
  const auto endpoint = connection.get_raw_socket().remote_endpoint(error);
  return error ? "" : client_of(endpoint.address().to_string());
}

template <class Connection>
void cut(Connection& connection) {
  std::error_code ignored;  // it is closed
  connection.get_raw_socket().close(ignored);
}

// Whether a Sec-WebSocket-Key is 16 bytes in Base64, as RFC 6455 (4.2.1) demands.
inline bool is_websocket_key(const std::string& key) {
  return key.size() == 24 && key.compare(22, 2, "==") == 0 &&
         std::all_of(key.begin(), key.end() - 2,
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '/'; });
}

// The refusal of a WebSocket, by its handshake alone.
template <class Connection>
std::optional<HttpResponse> refuse_handshake(const Connection& connection) {
  if (connection.get_request_header("Sec-WebSocket-Version") != "13") {
    return text_response(426, "WebSocket version 13 is wanted", {{"Sec-WebSocket-Version", "13"}});
  }
  if (is_websocket_key(connection.get_request_header("Sec-WebSocket-Key"))) return std::nullopt;
  return text_response(400, "Sec-WebSocket-Key must be 16 bytes in Base64");
}

template <class Connection>
void put(const HttpResponse& response, Connection& connection) {
  connection.set_status(static_cast<websocketpp::http::status_code::value>(response.status));
  connection.append_header("Content-Type", response.content_type);
  connection.append_header("Connection", "close");
  for (const auto& [name, value] : response.headers) connection.append_header(name, value);
  if (connection.get_request().get_method() == "HEAD") {
    connection.append_header("Content-Length", std::to_string(response.body.size()));
  } else {
    connection.set_body(response.body);
  }
}

// Admits a new connection within the limits, or closes it. It may be closed later, too, in favour
// of another.
template <class Server>
void admit(Server& server, const websocketpp::connection_hdl& handle, ConnectionLimits& limits) {
  const auto connection = server.get_con_from_hdl(handle);
  connection->client = client_of(*connection);
  auto place =
      limits.take(connection->client, [&server, handle] { cut(*server.get_con_from_hdl(handle)); });
  if (place) {
    connection->place = *std::move(place);
  } else {
    cut(*connection);
  }
}

}  // namespace fvlm::net
