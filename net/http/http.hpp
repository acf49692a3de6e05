// An HTTP request and its response as values, for those who transport or answer them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fvlm::net {

// Headers are as sent, empty if absent.
struct HttpRequest {
  std::string method{};
  std::string path{};  // without the query and the server's base path
  std::string host{};
  std::string origin{};
  std::string referer{};
  std::string fetch_site{};  // Sec-Fetch-Site, of browsers, like the next three
  std::string fetch_mode{};
  std::string fetch_dest{};
  std::string fetch_user{};
  std::string authorization{};
  // Of a CORS preflight: what the page is going to ask (Access-Control-Request-...).
  std::string asked_headers{};
  bool asks_private_network = false;
  std::string forwarded_for{};  // X-Forwarded-For, of proxies, like the next
  std::string forwarded{};
  std::string peer{};    // address and port; of the client, if a trusted proxy tells it
  std::string client{};  // client_of() that address
  bool secure = false;   // over TLS
  std::string body{};
};

// Bytes that several connections may be sending at a time.
using SharedBytes = std::shared_ptr<const std::string>;
inline SharedBytes share(std::string bytes) {
  return std::make_shared<const std::string>(std::move(bytes));
}

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body{};
  HttpHeaders headers{};
};

// One line of text.
inline HttpResponse text_response(int status, std::string text, HttpHeaders headers = {}) {
  return {status, "text/plain; charset=utf-8", std::move(text) + "\n", std::move(headers)};
}

}  // namespace fvlm::net
