// Untrusted text inside one line of a log or an error message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fvlm::net {

inline constexpr std::size_t kLongestLine = 2000;  // bytes of a log's line
inline constexpr std::size_t kLongestQuote = 100;  // bytes of a name that is quoted in an error

// `text` without control characters, against log injection and terminal escapes: "\n" becomes
// backslash and n, others are written as "\x1b". Longer than `most` bytes, it is truncated at a
// whole character and ends in "…".
std::string one_line(std::string_view text, std::size_t most);

}  // namespace fvlm::net
