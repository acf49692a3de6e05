// Flags of a command from a file: lines of `flag = value`, without the dashes; TOML's texts,
// numbers, true and false, and arrays for flags that may be repeated; comments begin with #.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace fvlm {

// Gives the flags of `command`, which has been parsed, the values in the file, except those that
// stood on the command line. Throws Error with the file and the key if something is wrong.
void apply_config_file(CLI::App& command, const std::string& file);

}  // namespace fvlm
