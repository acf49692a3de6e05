#include "net/http/access.hpp"

#include <algorithm>
#include <utility>

#include "net/http/address.hpp"

namespace fvlm::net {
namespace {

bool is_this_machine(std::string_view host) {
  const auto address = parse_address(host);
  return host == "localhost" || (address && is_loopback(*address));
}

// Origins of web sites in canonical form, others (of an extension, say) unchanged.
bool is_listed(std::string_view origin, const std::vector<std::string>& allowed) {
  const auto asked = parse_origin(origin);
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& each) {
    const auto listed = parse_origin(each);
    if (!asked || !listed) return each == origin;
    return listed->secure == asked->secure && is_same(*asked, listed->authority);
  });
}

Caller page_at(std::string_view origin, const HttpRequest& request,
               const std::vector<std::string>& allowed) {
  const auto page = parse_origin(origin);
  const auto host = parse_authority(request.host);
  // A man in the middle could serve a page without TLS under the same name.
  const bool trusted = page && (page->secure || !request.secure);
  if (trusted && host && is_same(*page, *host)) return Caller::kOwn;
  return is_listed(origin, allowed) ? Caller::kAllowed : Caller::kForeign;
}

// "https://example.org/a/page" -> "https://example.org".
std::string_view origin_of(std::string_view url) {
  const std::size_t host = url.find("://");
  return host == url.npos ? url : url.substr(0, url.find('/', host + 3));
}

// A user has followed a link (top-level navigation): the linking page learns nothing of the answer.
bool is_navigation(const HttpRequest& request) {
  return request.fetch_mode == "navigate" && request.fetch_dest == "document" &&
         request.fetch_user == "?1";
}

}  // namespace

bool is_loopback(std::string_view host) {
  const auto authority = parse_authority(host);
  return is_this_machine(authority && authority->port == 0 ? authority->host : host);
}

bool names_loopback(std::string_view host_header) {
  const auto authority = parse_authority(host_header);
  return authority && is_this_machine(authority->host);
}

Caller caller_of(const HttpRequest& request, const std::vector<std::string>& allowed) {
  if (!request.origin.empty()) return page_at(request.origin, request, allowed);
  const std::string_view referring = origin_of(request.referer);
  if (!request.fetch_site.empty()) {
    const bool own = request.fetch_site == "same-origin" || request.fetch_site == "none";
    if (own || is_navigation(request)) return Caller::kOwn;
    return is_listed(referring, allowed) ? Caller::kAllowed : Caller::kForeign;
  }
  return referring.empty() ? Caller::kOwn : page_at(referring, request, allowed);
}

std::optional<std::string> wrong_origin(const std::vector<std::string>& allowed) {
  const auto wrong = std::find_if(allowed.begin(), allowed.end(), [](const std::string& each) {
    const bool is_web = each.starts_with("http");
    return is_web ? !parse_origin(each) : each != "null" && each.find("://") == each.npos;
  });
  if (wrong == allowed.end()) return std::nullopt;
  return "--allow-origin " + *wrong +
         ": expected a site without a path, as https://example.org, once for each";
}

HttpResponse readable_by(const std::string& origin, HttpResponse response) {
  response.headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
  response.headers.emplace_back("Vary", "Origin");
  if (!origin.empty()) {
    response.headers.emplace_back("Access-Control-Allow-Origin", origin);
    response.headers.emplace_back("Access-Control-Expose-Headers", "Retry-After, X-Request-Id");
  }
  return response;
}

HttpResponse options_response(const HttpRequest& request, std::string_view allowed) {
  constexpr char kLongest[] = "7200";  // seconds that a browser keeps it; Chrome keeps none longer
  HttpResponse response{204, {}, {}, {{"Allow", std::string(allowed)}}};
  if (request.origin.empty()) return response;
  const std::string& asked = request.asked_headers;
  response.headers.insert(
      response.headers.end(),
      {{"Access-Control-Allow-Methods", "GET, HEAD, POST"},
       {"Access-Control-Allow-Headers", asked.empty() ? "Authorization, Content-Type" : asked},
       {"Access-Control-Max-Age", kLongest},
       {"Vary", "Access-Control-Request-Headers, Access-Control-Request-Private-Network"}});
  if (request.asks_private_network) {
    response.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  return response;
}

}  // namespace fvlm::net
