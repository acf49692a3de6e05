// Pictures in requests: data URLs (RFC 2397). No URL is fetched, against server-side request
// forgery (SSRF).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/api/fields.hpp"

namespace fvlm::net {

// "data:image/jpeg;base64,..." to the file. "data:" and "base64" may be in any case, and the Base64
// as clients write it: in lines, with white space, with the letters for URLs, percent-encoded,
// without padding.
Read<std::string> read_data_url(std::string_view url, const std::string& param);

// The bytes of the Base64 alone, with what is tolerated there; nothing if it is not valid.
std::optional<std::string> read_base64(std::string_view text);

}  // namespace fvlm::net
