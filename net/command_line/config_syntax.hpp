// What is wrong with a file that is not TOML, said so that the line can be mended: a parser of TOML
// knows where it stopped, and people write `host = 127.0.0.1`.
#pragma once

#include <string>
#include <string_view>

#include "net/command_line/config_file.hpp"

namespace fvlm::net {

// KEY = "VALUE" as TOML has it. A value that may be secret, or is long, is "..." instead.
std::string quoted_line(std::string_view key, std::string_view value);

// The problem in words, without the place, for an error that toml++ found at `place` in `text` and
// describes so.
std::string syntax_problem(std::string_view text, ConfigPlace place, std::string_view description);

}  // namespace fvlm::net
