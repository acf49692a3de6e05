// Config files are lines of `key = value`, as TOML has them: texts in quotes, numbers, true and
// false, arrays on one line. CLI11's reader takes what is broken for something else, and a missing
// bracket for the rest of the file; so lines are checked before.
#pragma once

#include <string>
#include <string_view>

namespace fvlm::net {

enum class ConfigTables : bool { kNone, kMayBe };  // lines of "[...]"

// "line N: what is wrong" of the first line that is; empty if none is.
std::string wrong_config_line(std::string_view text, ConfigTables tables);

}  // namespace fvlm::net
