// Percent-encoding of URLs (RFC 3986, 2.1).
#pragma once

#include <string>
#include <string_view>

namespace fvlm::net {

// With each "%41" as the byte that it stands for; a "%" without two digits stays.
std::string percent_decoded(std::string_view text);

}  // namespace fvlm::net
