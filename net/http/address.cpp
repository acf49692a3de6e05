#include "net/http/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <system_error>

namespace fvlm::net {
namespace {

constexpr std::size_t kIpv4 = 12;  // where an IPv4 address begins

bool is_ipv4(const IpAddress& address) {
  constexpr std::array<std::uint8_t, kIpv4> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

char small(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool belongs_in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || rest != end || text.front() == '0') return std::nullopt;
  return port;
}

// A name, or an address; IPv6 in brackets.
std::optional<std::string> parse_host(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    const auto address = parse_address(text);
    if (!address || text.find(':') == text.npos) return std::nullopt;
    return text_of(*address);
  }
  if (text.empty() || text.front() == '.' || text.find(':') != text.npos) return std::nullopt;
  if (const auto address = parse_address(text)) return text_of(*address);
  std::string name;
  std::transform(text.begin(), text.end(), std::back_inserter(name), small);
  if (name.back() == '.') name.pop_back();
  const bool empty_label = name.empty() || name.back() == '.' || name.find("..") != name.npos;
  if (empty_label || parse_address(name)) return std::nullopt;
  if (!std::all_of(name.begin(), name.end(), belongs_in_name)) return std::nullopt;
  return name;
}

}  // namespace

std::optional<IpAddress> parse_address(std::string_view text) {
  const std::string address(text);
  if (address.find('\0') != address.npos) return std::nullopt;  // the calls below would stop there
  IpAddress bytes{};
  if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return bytes;
  bytes[kIpv4 - 2] = bytes[kIpv4 - 1] = 0xff;
  if (::inet_pton(AF_INET, address.c_str(), &bytes[kIpv4]) == 1) return bytes;
  return std::nullopt;
}

std::string text_of(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_ipv4(address)) {
    ::inet_ntop(AF_INET, &address[kIpv4], text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, address.data(), text, sizeof text);
  }
  return text;
}

bool Network::contains(const IpAddress& other) const {
  for (int bit = 0; bit < bits; ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    if (((address.at(byte) ^ other.at(byte)) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

std::optional<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  Network network{*address};
  if (slash == text.npos) return network;
  const int before = is_ipv4(*address) ? 8 * static_cast<int>(kIpv4) : 0;
  int bits = -1;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, bits);
  if (error != std::errc{} || rest != end || bits < 0 || before + bits > 128) return std::nullopt;
  network.bits = before + bits;
  return network;
}

bool is_loopback(const IpAddress& address) {
  constexpr IpAddress kIpv6Loopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return address == kIpv6Loopback || (is_ipv4(address) && address[kIpv4] == 127);
}

std::string client_of(const std::string& address) {
  constexpr std::size_t kNetwork = 8;                                // bytes of a /64
  auto bytes = parse_address(address.substr(0, address.find('%')));  // without fe80::1's "%eth0"
  if (!bytes) return address;
  const bool link_local = (*bytes)[0] == 0xfe && ((*bytes)[1] & 0xc0) == 0x80;
  if (is_ipv4(*bytes) || link_local) return text_of(*bytes);
  std::fill(bytes->begin() + kNetwork, bytes->end(), std::uint8_t{0});
  return text_of(*bytes) + "/64";
}

std::string host_and_port(std::string_view host, std::uint16_t port) {
  const bool is_v6 = host.find(':') != host.npos && !host.starts_with('[');
  std::string text = is_v6 ? "[" : "";
  text.append(host).append(is_v6 ? "]" : "");
  return text + ":" + std::to_string(port);
}

std::optional<Authority> parse_authority(std::string_view text) {
  std::uint16_t port = 0;
  const std::size_t colon = text.rfind(':');
  if (colon != text.npos && text.back() != ']') {
    const auto number = parse_port(text.substr(colon + 1));
    if (!number) return std::nullopt;
    port = *number;
    text = text.substr(0, colon);
  }
  const auto host = parse_host(text);
  if (!host) return std::nullopt;
  return Authority{*host, port};
}

std::optional<Origin> parse_origin(std::string_view text) {
  constexpr std::string_view kSeparator = "://";
  const std::size_t scheme = text.find(kSeparator);
  if (scheme == text.npos) return std::nullopt;
  std::string name;
  std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(scheme),
                 std::back_inserter(name), small);
  const bool secure = name == "https";
  const auto authority = parse_authority(text.substr(scheme + kSeparator.size()));
  if (!authority || (!secure && name != "http")) return std::nullopt;
  return Origin{secure, *authority};
}

bool is_same(const Origin& origin, const Authority& host) {
  const int usual = origin.secure ? 443 : 80;
  const auto port = [usual](int named) { return named != 0 ? named : usual; };
  return origin.authority.host == host.host && port(origin.authority.port) == port(host.port);
}

}  // namespace fvlm::net
