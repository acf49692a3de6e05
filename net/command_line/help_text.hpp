// The form of --help.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace fvlm {

// Gives the program and its commands, also those that are added later, their form of --help.
void set_help_form(CLI::App& program);

// What --help prints for a command, or for the program itself.
std::string help_text(const CLI::App& command);

}  // namespace fvlm
