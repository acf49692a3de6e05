// What a browser says about the page that makes it ask, and who is let in by it. A hostile page
// cannot make a browser lie about that; programs say nothing and are asked for the key, if at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/http.hpp"

namespace fvlm::net {

// Whether an address to listen on is reached from this machine only.
bool is_loopback(std::string_view host);

// Whether a Host header names this machine as itself. A page of another site that has pointed its
// own name here (DNS rebinding) still sends its own name.
bool names_loopback(std::string_view host_header);

// Whose page asks.
enum class Caller : std::uint8_t {
  kOwn,      // this server's, or none: a program, or a user who follows a link
  kAllowed,  // that of an origin on the list
  kForeign,
};
// By Origin, which browsers send with whatever could change or read something; else by
// Sec-Fetch-Site, which they send to this machine and over https; else by Referer. Other ports of
// the same host are other origins.
Caller caller_of(const HttpRequest& request, const std::vector<std::string>& allowed);

// What is wrong with a list of origins: the first that begins as a web site's and is none.
std::optional<std::string> wrong_origin(const std::vector<std::string>& allowed);

// Lets the page at `origin`, which is welcome, read an answer: browsers ask for that (CORS). Others
// may not embed it.
HttpResponse readable_by(const std::string& origin, HttpResponse response);

// The answer to a browser that asks what a page may send.
HttpResponse preflight_response();

}  // namespace fvlm::net
