// Bytes to Base64 (RFC 4648, 4) and back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fvlm::net {

// With padding.
std::string encode_base64(std::string_view bytes);
// Nothing if there is anything in it but digits and padding at its end.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace fvlm::net
