// Who may use a server, by the head of a request. Refused are requests that name another host than
// this machine, where there is no key (DNS rebinding); that another site's page sends; and that
// lack the key. Wrong keys are logged, counted, and rate-limited. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http/access.hpp"
#include "net/http/key_guard.hpp"
#include "net/http/web_page.hpp"

namespace fvlm::net {

struct AccessOptions {
  std::string key{};                           // named "default"; empty: none
  std::vector<ApiKey> keys{};                  // more; without any there is no authentication
  std::size_t free_wrong_keys = 5;             // then a client is rate-limited; 0: never
  std::vector<std::string> allowed_origins{};  // of pages, besides the server's own
  bool open_to_all = false;                    // listen beyond loopback without a key

  // Whether everybody could use a server that listens on `host`, and nobody has said so.
  bool exposes(std::string_view host) const {
    return key.empty() && keys.empty() && !open_to_all && !is_loopback(host);
  }
};

struct Refusal {
  int status = 0;
  std::string text{};
  std::string code{};  // for programs, e.g. "wrong_host"
  HttpHeaders headers{};
  std::string reason{};  // HttpResponse::reason
};

class Gate {
 public:
  // What replies call the server and its key, and what browsers call it that ask for a password.
  struct Names {
    std::string_view server;
    std::string_view key;
    std::string_view realm;
  };

  // `page`: its files say nothing to those who embed them, and links lead to them: any site may.
  // `warn` gets lines for the log, with the requests they are about.
  Gate(const AccessOptions& options, const Names& names, const WebPage& page,
       std::function<void(const std::string& line, const HttpRequest& request)> warn);

  // Other keys, origins and limits from now on.
  void set(const AccessOptions& options);
  // By where the request comes from.
  std::optional<Refusal> refuse_caller(const HttpRequest& request) const;
  // By its key, whose name is then the request's: of its Authorization header or, without that, of
  // its subprotocols (subprotocol.hpp).
  std::optional<Refusal> refuse_key(HttpRequest& request);

  std::int64_t wrong_keys() const { return wrong_keys_; }
  // Requests of clients that are rate-limited.
  std::int64_t refused_keys() const { return refused_keys_; }

 private:
  AccessOptions options_;
  Names names_;
  const WebPage& page_;
  std::function<void(const std::string& line, const HttpRequest& request)> warn_;
  KeyGuard guard_;
  std::int64_t wrong_keys_ = 0;
  std::int64_t refused_keys_ = 0;
};

}  // namespace fvlm::net
