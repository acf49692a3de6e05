// A config file's keys are flags: what a program reads of its command line, and how, is all said in
// one table, CLI11's.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "net/command_line/config_file.hpp"

namespace fvlm::net {

// The flags of `app` that may stand in a file (CLI11's configurable()), by all their names.
std::vector<std::string> config_keys(const CLI::App& app);

// Gives flags of `app` the values in `entries`, which stand in the file `path`: those that have
// none yet, since the command line, which has been parsed, comes before the file. A flag's type
// says what a value must be: a text for CLI11's TEXT, a number for INT, UINT and FLOAT, true or
// false for a flag without a value; any of these for others. Throws ConfigError.
void apply_config(CLI::App& app, const std::string& path, const ConfigEntries& entries);

}  // namespace fvlm::net
