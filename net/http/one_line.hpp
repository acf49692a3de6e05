// Texts of others inside a line of ours: a log's, or an error's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fvlm::net {

inline constexpr std::size_t kLongestLine = 2000;  // bytes of a log's line
inline constexpr std::size_t kLongestQuote = 100;  // bytes of a name that is quoted in an error

// `text` without control characters, which would break the line or steer a terminal: "\n" becomes
// backslash and n, others are written as "\x1b". Of more than `most` bytes the beginning is kept,
// in whole characters, with "…" after it.
std::string one_line(std::string_view text, std::size_t most);

}  // namespace fvlm::net
