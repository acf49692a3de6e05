// An HTTP request and its response as values, for those who transport or answer them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
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
  std::string subprotocols{};  // Sec-WebSocket-Protocol, a list
  // Of a CORS preflight: what the page is going to ask (Access-Control-Request-...).
  std::string asked_headers{};
  bool asks_private_network = false;
  std::string forwarded_for{};  // X-Forwarded-For, of proxies, like the next
  std::string forwarded{};
  std::string request_id{};  // X-Request-Id; from the head on a usable one, of ours if need be
  std::string peer{};        // address and port; of the client, if a trusted proxy tells it
  std::string client{};      // client_of() that address
  std::string key{};         // name of the API key that it gave, once that was checked
  bool secure = false;       // over TLS
  std::string body{};
  std::shared_ptr<void> memory{};  // of the body: counted against a budget while it exists
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
  // Of a refusal, for logs and metrics: a word such as "wrong_host", and a sentence.
  std::string reason{};
  std::string detail{};

  // In place of the field of this name, if there is one: of most there may be one only.
  void set_header(std::string_view name, std::string value) {
    for (auto& [known, old] : headers) {
      if (known == name) {
        old = std::move(value);
        return;
      }
    }
    headers.emplace_back(name, std::move(value));
  }
};

// One line of text.
inline HttpResponse text_response(int status, std::string text, HttpHeaders headers = {}) {
  return {status, "text/plain; charset=utf-8", std::move(text) + "\n", std::move(headers)};
}

// A request and what came of it, for logs and metrics.
struct HttpExchange {
  static constexpr int kClientLeft = 499;  // as nginx has it: before there was a response

  std::string method{};  // empty, like the path, if the request could not be read
  std::string path{};
  std::string peer{};
  std::string key{};
  std::string request_id{};
  int status = 0;
  std::string reason{};  // as HttpResponse has them
  std::string detail{};
  double seconds = 0;  // from the end of the request's head to the end of the response
};

}  // namespace fvlm::net
