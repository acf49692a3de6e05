// What is wrong with a command line, said so that the next one is right.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace fvlm {

// The names of the program's commands and their other names.
std::vector<std::string> command_names(const CLI::App& program);

// Why parsing ended with this error, in one line, and, as a question at its end, what was probably
// meant.
std::string usage_problem(const CLI::App& program, const CLI::ParseError& error);

// That there is no such command, likewise.
std::string unknown_command(const std::string& typed, const CLI::App& program);

// Throws Error if a flag that has one value was given more than once, or one that names a file or a
// folder was given nothing.
void refuse_wrong_flags(const CLI::App& command);

}  // namespace fvlm
