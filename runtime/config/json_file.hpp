// JSON as checkpoint files use it, read strictly: one object, valid UTF-8, no key twice in an
// object, no deep nesting, not millions of values. A file that two readers could understand
// differently is refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace fvlm {

inline constexpr std::size_t kMaxJsonDepth = 32;  // of objects and arrays; files of ours have three

// The JSON object in `text`. Errors begin with `source`, e.g. "DIR/config.json".
nlohmann::json parse_json_object(std::string_view text, const std::string& source);

// The JSON object in a file.
nlohmann::json read_json_object(const std::filesystem::path& path);

// `text` in double quotes, for messages: control characters and anything beyond ASCII are escaped
// and long texts cut, so that a hostile name can neither break the line nor steer a terminal.
std::string in_quotes(std::string_view text);

}  // namespace fvlm
