#include "net/access.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "net/base64.hpp"

namespace fvlm::net {
namespace {

// Neither the place of the first difference nor, beyond its length, the key shows in the time.
bool same_in_constant_time(std::string_view given, std::string_view key) {
  std::size_t difference = given.size() ^ key.size();
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = key.empty() ? '\0' : key[i % key.size()];
    difference |= static_cast<std::size_t>(static_cast<unsigned char>(given[i] ^ expected));
  }
  return difference == 0;
}

// "[::1]:5000" -> "[::1]", "localhost:5000" -> "localhost".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

}  // namespace

bool carries_key(std::string_view authorization, std::string_view key) {
  const std::size_t space = authorization.find(' ');
  if (space == authorization.npos) return false;
  std::string scheme(authorization.substr(0, space));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view credentials = authorization.substr(space + 1);
  if (scheme == "bearer") return same_in_constant_time(credentials, key);
  if (scheme != "basic") return false;
  const auto name_and_password = decode_base64(credentials);
  if (!name_and_password) return false;
  const std::size_t colon = name_and_password->find(':');
  if (colon == std::string::npos) return false;
  return same_in_constant_time(std::string_view(*name_and_password).substr(colon + 1), key);
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

bool names_loopback(std::string_view host_header) {
  const std::string_view host = without_port(host_header);
  return host == "[::1]" || is_loopback(host);
}

bool origin_is_welcome(std::string_view origin, std::string_view host_header,
                       const std::vector<std::string>& allowed) {
  if (origin.empty()) return true;
  const std::size_t scheme = origin.find("://");
  if (scheme != origin.npos && origin.substr(scheme + 3) == host_header) return true;
  return std::find(allowed.begin(), allowed.end(), origin) != allowed.end();
}

HttpResponse readable_by(const std::string& origin, HttpResponse response) {
  if (!origin.empty()) {
    response.headers.emplace_back("Access-Control-Allow-Origin", origin);
    response.headers.emplace_back("Vary", "Origin");
  }
  return response;
}

HttpResponse preflight_response() {
  return {204,
          "text/plain; charset=utf-8",
          {},
          {{"Access-Control-Allow-Methods", "GET, POST"},
           {"Access-Control-Allow-Headers", "Authorization, Content-Type"},
           {"Access-Control-Max-Age", "600"}}};
}

}  // namespace fvlm::net
