#include "net/http/gate.hpp"

#include <fmt/format.h>

#include <utility>

#include "net/http/subprotocol.hpp"

namespace fvlm::net {
namespace {

std::vector<ApiKey> keys_of(const AccessOptions& options) {
  std::vector<ApiKey> keys = options.keys;
  if (!options.key.empty()) {
    keys.push_back({.name = "default", .digest = digest_of(options.key)});
  }
  return keys;
}

// As an Authorization header says it.
std::string credentials_of(const HttpRequest& request) {
  if (!request.authorization.empty()) return request.authorization;
  const std::string key = key_offered(request.subprotocols);
  return key.empty() ? std::string() : "Bearer " + key;
}

}  // namespace

Gate::Gate(const AccessOptions& options, const Names& names, const WebPage& page,
           std::function<void(const std::string& line, const HttpRequest& request)> warn)
    : options_(options),
      names_(names),
      page_(page),
      warn_(std::move(warn)),
      guard_(keys_of(options), options.free_wrong_keys) {}

void Gate::set(const AccessOptions& options) {
  options_ = options;
  guard_.set(keys_of(options), options.free_wrong_keys);
}

std::optional<Refusal> Gate::refuse_caller(const HttpRequest& request) const {
  if (!guard_.asks() && !options_.open_to_all && !names_loopback(request.host)) {
    return Refusal{403,
                   fmt::format("this {} answers to localhost only", names_.server),
                   "wrong_host",
                   {},
                   "wrong_host"};
  }
  const bool harmless = request.origin.empty() && page_.has(request.path);
  if (harmless || caller_of(request, options_.allowed_origins) != Caller::kForeign) return {};
  return Refusal{
      403,
      fmt::format("pages of {} may not use this {}; --allow-origin would let them",
                  request.origin.empty() ? "other sites" : request.origin, names_.server),
      "wrong_origin",
      {},
      "wrong_origin"};
}

std::optional<Refusal> Gate::refuse_key(HttpRequest& request) {
  using Kind = KeyGuard::Verdict::Kind;
  if (!guard_.asks()) return {};
  auto [kind, wait, name] = guard_.check(request.client, credentials_of(request));
  const std::string seconds = std::to_string(wait.count());
  if (kind == Kind::kRight) {
    request.key = std::move(name);
    return {};
  }
  if (kind == Kind::kWait) {
    ++refused_keys_;
    return Refusal{
        429,
        fmt::format("too many wrong keys came from {}; try again in {} s", request.client, seconds),
        "too_many_wrong_keys",
        {{"Retry-After", seconds}},
        "too_many_wrong_keys"};
  }
  if (kind == Kind::kWrong) {
    ++wrong_keys_;
    warn_("⚠️ " + request.peer + " gave a wrong key" +
              (wait.count() > 0 ? ", and waits for " + seconds + " s" : ""),
          request);
  }
  return Refusal{401,
                 fmt::format("this {} wants its {}", names_.server, names_.key),
                 "invalid_api_key",
                 {{"WWW-Authenticate", fmt::format("Basic realm=\"{}\"", names_.realm)}},
                 kind == Kind::kWrong ? "wrong_key" : "no_key"};
}

}  // namespace fvlm::net
