#include "net/http/proxy.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace fvlm::net {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const std::size_t from = text.find_first_not_of(kSpace);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(kSpace) - from + 1);
}

// Parts of a list; what stands in quotes is not cut.
std::vector<std::string_view> split(std::string_view list, char separator) {
  std::vector<std::string_view> parts;
  bool quoted = false;
  std::size_t from = 0;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size() && list[i] == '"') quoted = !quoted;
    if (i < list.size() && (quoted || list[i] != separator)) continue;
    parts.push_back(trimmed(list.substr(from, i - from)));
    from = i + 1;
  }
  return parts;
}

// "192.0.2.7", "192.0.2.7:80", "2001:db8::1", "[2001:db8::1]:80", in quotes or not.
std::optional<IpAddress> parse_node(std::string_view node) {
  if (node.size() >= 2 && node.front() == '"' && node.back() == '"') {
    node = node.substr(1, node.size() - 2);
  }
  if (const auto address = parse_address(node)) return address;
  const auto authority = parse_authority(node);
  return authority ? parse_address(authority->host) : std::nullopt;
}

bool is_for(std::string_view pair) {
  constexpr std::string_view kFor = "for=";
  const std::string_view name = pair.substr(0, kFor.size());
  return std::equal(name.begin(), name.end(), kFor.begin(), kFor.end(), [](char c, char small) {
    return std::tolower(static_cast<unsigned char>(c)) == small;
  });
}

// The nodes that a request has passed, the client first.
std::vector<std::string_view> nodes_of(const HttpRequest& request) {
  if (!request.forwarded_for.empty()) return split(request.forwarded_for, ',');
  std::vector<std::string_view> nodes;
  if (request.forwarded.empty()) return nodes;
  for (const std::string_view element : split(request.forwarded, ',')) {
    const auto pairs = split(element, ';');
    const auto pair = std::find_if(pairs.begin(), pairs.end(), is_for);
    nodes.push_back(pair == pairs.end() ? "" : pair->substr(4));
  }
  return nodes;
}

}  // namespace

TrustedProxies::TrustedProxies(const std::vector<std::string>& networks) {
  for (const std::string& each : networks) {
    if (const auto network = parse_network(each)) networks_.push_back(*network);
  }
}

bool TrustedProxies::contains(const IpAddress& address) const {
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const Network& network) { return network.contains(address); });
}

std::optional<std::string> TrustedProxies::client_of(const HttpRequest& request) const {
  const auto nodes = nodes_of(request);
  std::optional<std::string> client;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const auto address = parse_node(*node);
    if (!address) break;  // what stands before it, anybody may have written
    client = text_of(*address);
    if (!contains(*address)) break;
  }
  return client;
}

std::optional<std::string> wrong_network(const std::vector<std::string>& networks) {
  for (const std::string& each : networks) {
    if (!parse_network(each)) {
      return "--trusted-proxy " + each +
             ": expected an address or a network, as 192.0.2.7 or 10.0.0.0/8";
    }
  }
  return std::nullopt;
}

std::string normal_base_path(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  std::string normal(path);
  if (!normal.empty() && normal.front() != '/') normal.insert(0, 1, '/');
  return normal;
}

std::optional<std::string> wrong_base_path(const std::string& path) {
  constexpr std::string_view kOther = "-._~/";
  const bool well = std::all_of(path.begin(), path.end(), [&](unsigned char c) {
    return std::isalnum(c) != 0 || kOther.find(static_cast<char>(c)) != kOther.npos;
  });
  if (well && path.find("//") == path.npos) return std::nullopt;
  return "--base-path " + path + ": expected a path of letters, digits and -._~, as /vlm";
}

std::optional<std::string> below_base_path(std::string_view base, std::string_view path) {
  if (!path.starts_with(base) || path.substr(base.size()).substr(0, 1) != "/") return std::nullopt;
  return std::string(path.substr(base.size()));
}

}  // namespace fvlm::net
