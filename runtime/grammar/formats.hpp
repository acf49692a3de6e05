// The formats of JSON Schema that are regular, as expressions: each matches only what the format
// allows, sometimes less (an e-mail address without quotes, a URI with a host).
#pragma once

#include <string_view>

namespace fvlm {

// The expression of a format (regex_syntax.hpp), to be matched whole; empty if it has none.
std::string_view format_expression(std::string_view format);

// The names of the formats there are, for messages.
std::string_view format_names();

}  // namespace fvlm
