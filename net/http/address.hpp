// Parsing of addresses, hosts and origins. Access checks compare parsed values, never the prefix of
// a text: "127.evil.example" is a name that anyone may register.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fvlm::net {

// IPv6 in network order; IPv4 as IPv6 maps it, ::ffff:a.b.c.d.
using IpAddress = std::array<std::uint8_t, 16>;

// "127.0.0.1", "::1"; nothing if it is anything else, a name included.
std::optional<IpAddress> parse_address(std::string_view text);
bool is_loopback(const IpAddress& address);
// Its one spelling.
std::string text_of(const IpAddress& address);

// An address and how many of its first bits a network's addresses share.
struct Network {
  IpAddress address{};
  int bits = 128;

  bool contains(const IpAddress& other) const;
};
// "192.0.2.0/24", "2001:db8::/32", or an address alone.
std::optional<Network> parse_network(std::string_view text);

// The unit of per-client limits: an IPv4 address, or an IPv6 /64, the least that one customer has.
// Link-local addresses all share one /64 and count singly. `address` itself if it does not parse.
std::string client_of(const std::string& address);

// "127.0.0.1:5000", "[::1]:5000"; a host in brackets stays as it is.
std::string host_and_port(std::string_view host, std::uint16_t port);

// The host and port of a Host header or an origin (RFC 3986, 3.2).
struct Authority {
  std::string host{};      // small letters, without a final dot; an address in its one spelling
  std::uint16_t port = 0;  // 0 if none is named
};
std::optional<Authority> parse_authority(std::string_view text);

// "https://example.org:8443" as browsers send it (RFC 6454, 6.1), and no other scheme than theirs.
struct Origin {
  bool secure = false;
  Authority authority{};
};
std::optional<Origin> parse_origin(std::string_view text);

// Whether `origin` is the same origin as the server at `host`; a missing port is the scheme's
// default.
bool is_same(const Origin& origin, const Authority& host);

}  // namespace fvlm::net
