// Access control for browsers: the Host, Origin, Sec-Fetch-Site and Referer headers of a request.
// The threat is a hostile web site whose page makes its visitor's browser send requests here
// (cross-site requests, DNS rebinding); such a page cannot forge these headers. Programs send none
// of them and authenticate by key, if there is one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/http.hpp"

namespace fvlm::net {

// Whether an address to listen on is loopback.
bool is_loopback(std::string_view host);

// Whether a Host header names this machine by loopback address or as localhost. After DNS
// rebinding, a hostile page's requests still name its own host.
bool names_loopback(std::string_view host_header);

// The origin of a request.
enum class Caller : std::uint8_t {
  kOwn,      // same-origin, or none: a program, or a user who follows a link
  kAllowed,  // that of an origin on the list
  kForeign,
};
// By Origin, which browsers send with every request that could change or read something; else by
// Sec-Fetch-Site, which they send to loopback and over https; else by Referer. Other ports of the
// same host are other origins.
Caller caller_of(const HttpRequest& request, const std::vector<std::string>& allowed);

// What is wrong with a list of origins: the first that begins as a web site's and is none.
std::optional<std::string> wrong_origin(const std::vector<std::string>& allowed);

// Lets the page at `origin`, which is allowed, read a response (CORS,
// https://fetch.spec.whatwg.org), and forbids others to embed it.
HttpResponse readable_by(const std::string& origin, HttpResponse response);

// The response to OPTIONS, with which browsers ask first (CORS preflight): a page at an allowed
// origin may send all the headers that it asks to. `allowed`: the methods of the path.
HttpResponse options_response(const HttpRequest& request, std::string_view allowed);

}  // namespace fvlm::net
