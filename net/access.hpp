// Who may use the server: the key, and what a browser says about the page that asks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/transport.hpp"

namespace fvlm::net {

// Whether an Authorization header carries the key, as "Bearer KEY" or, for browsers, which ask
// their user for it, as the password of "Basic". Takes as long for any wrong key.
bool carries_key(std::string_view authorization, std::string_view key);

// Whether an address to listen on is reached from this machine only.
bool is_loopback(std::string_view host);

// Whether a Host header names this machine as itself. A page of another site that has pointed its
// own name here (DNS rebinding) still sends its own name.
bool names_loopback(std::string_view host_header);

// Whether the page at `origin`, empty if no browser asks, may use a server that was called
// `host_header`: its own pages, and those on the list.
bool origin_is_welcome(std::string_view origin, std::string_view host_header,
                       const std::vector<std::string>& allowed);

// Lets the page at `origin`, which is welcome, read an answer: browsers ask for that (CORS).
// Nothing if the origin is empty.
HttpResponse readable_by(const std::string& origin, HttpResponse response);

// The answer to a browser that asks what a page may send.
HttpResponse preflight_response();

}  // namespace fvlm::net
