// The log's interface: a level and one line of text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace fvlm::net {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };
using Log = std::function<void(LogLevel level, const std::string& line)>;

}  // namespace fvlm::net
