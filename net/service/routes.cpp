#include "net/service/routes.hpp"

#include <algorithm>
#include <array>

namespace fvlm::net {
namespace {

constexpr std::array kRoutes = {
    Route{.path = "/"},
    Route{.path = "/static/", .has_more = true},
    Route{.path = "/ws"},
    Route{.path = "/livez"},
    Route{.path = "/health"},
    Route{.path = "/readyz"},
    Route{.path = "/metrics"},
    Route{.path = "/v1/models", .has_more = true},
    Route{.path = "/v1/chat/completions", .is_posted = true},
    Route{.path = "/v1/completions", .is_posted = true},
    Route{.path = "/v1/responses", .is_posted = true},
    Route{.path = "/api/chat", .is_posted = true},
    Route{.path = "/api/generate", .is_posted = true},
    Route{.path = "/api/show", .is_posted = true},
    Route{.path = "/api/tags"},
    Route{.path = "/api/ps"},
    Route{.path = "/api/version"},
};

}  // namespace

bool Route::takes(std::string_view method) const {
  return is_posted ? method == "POST" : method == "GET" || method == "HEAD";
}

std::string_view allowed_methods(const Route* route) {
  if (route == nullptr) return "GET, HEAD, POST, OPTIONS";
  return route->is_posted ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

std::span<const Route> routes() {
  return kRoutes;
}

const Route* route_of(std::string_view path) {
  const auto found = std::ranges::find_if(kRoutes, [&](const Route& one) {
    if (!one.has_more || !path.starts_with(one.path)) return path == one.path;
    const std::string_view rest = path.substr(one.path.size());
    return rest.empty() || rest.front() == '/' || one.path.ends_with('/');
  });
  return found == kRoutes.end() ? nullptr : &*found;
}

std::string list_of_routes() {
  std::string list;
  for (const Route& one : kRoutes) list.append(list.empty() ? "" : ", ").append(one.path);
  return list;
}

}  // namespace fvlm::net
