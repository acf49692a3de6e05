// Behind a reverse proxy: whom its requests come from, which it says in X-Forwarded-For or
// Forwarded (RFC 7239), and the prefix of their paths. Anybody can send these headers: they count
// from trusted addresses alone, and of their lists only what the trusted proxies appended.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/address.hpp"
#include "net/http/http.hpp"

namespace fvlm::net {

class TrustedProxies {
 public:
  // `networks`: addresses, or networks such as 10.0.0.0/8. Those that are neither are left out;
  // wrong_network() finds them.
  explicit TrustedProxies(const std::vector<std::string>& networks);

  bool contains(const IpAddress& address) const;
  // The last address on the way of a request that is no trusted proxy's; nothing if its headers
  // tell none.
  std::optional<std::string> client_of(const HttpRequest& request) const;

 private:
  std::vector<Network> networks_{};
};

// The first that is no network, as a line for the user.
std::optional<std::string> wrong_network(const std::vector<std::string>& networks);

// "vlm/" and "/vlm" to "/vlm", "/" to nothing.
std::string normal_base_path(std::string_view path);
// What is wrong with a normal one.
std::optional<std::string> wrong_base_path(const std::string& path);
// Takes the base off a path: nothing if it lies outside.
std::optional<std::string> below_base_path(std::string_view base, std::string_view path);

}  // namespace fvlm::net
