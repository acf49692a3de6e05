#include "net/api/data_url.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "net/protocol/base64.hpp"
#include "net/protocol/percent.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kSpaces = " \t\r\n\f";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_in_any_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// What decode_base64() reads.
std::string plain_base64(std::string_view text) {
  std::string plain = percent_decoded(text);
  std::erase_if(plain, [](char c) { return kSpaces.find(c) != kSpaces.npos; });
  std::ranges::replace(plain, '-', '+');
  std::ranges::replace(plain, '_', '/');
  return plain;
}

}  // namespace

std::optional<std::string> read_base64(std::string_view text) {
  return decode_base64(plain_base64(text));
}

Read<std::string> read_data_url(std::string_view url, const std::string& param) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kEncoding = ";base64";
  constexpr const char* kCode = "invalid_image_url";
  url.remove_prefix(std::min(url.find_first_not_of(kSpaces), url.size()));
  if (!equal_in_any_case(url.substr(0, kScheme.size()), kScheme)) {
    return wrong(param,
                 "this server fetches no URLs: send the picture itself, as "
                 "\"data:image/jpeg;base64,...\"",
                 kCode);
  }
  const std::size_t comma = url.find(',');
  std::string_view type = url.substr(0, comma);
  while (!type.empty() && kSpaces.find(type.back()) != kSpaces.npos) type.remove_suffix(1);
  if (comma == url.npos || type.size() < kEncoding.size() ||
      !equal_in_any_case(type.substr(type.size() - kEncoding.size()), kEncoding)) {
    return wrong(param, "a data URL must be \"data:TYPE;base64,DATA\"", kCode);
  }
  auto bytes = read_base64(url.substr(comma + 1));
  if (!bytes) return wrong(param, "the data URL is not valid Base64", kCode);
  if (bytes->empty()) return wrong(param, "the picture is empty", kCode);
  return *std::move(bytes);
}

}  // namespace fvlm::net
