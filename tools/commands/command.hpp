// The commands of the fastvlm program. Each has a file of its own, tools/commands/NAME.cpp, with
// one function that describes its flags; main.cpp lists the functions and runs the command asked
// for.
//
// To add one: write `Command add_NAME(CLI::App& program)` in tools/commands/NAME.cpp, declare it
// here, and add it to the list in main.cpp.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace fvlm {

struct Command {
  CLI::App* parser;          // belongs to `program`
  std::function<int()> run;  // after parsing; returns the exit code or throws Error
};

inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;   // it ran, and the result is not what was asked for
inline constexpr int kExitError = 2;     // wrong flags, files or settings
inline constexpr int kExitSignal = 128;  // + the number of the signal that ended the work

Command add_describe(CLI::App& program);
Command add_chat(CLI::App& program);
Command add_info(CLI::App& program);
Command add_tokenize(CLI::App& program);
Command add_trace(CLI::App& program);
Command add_make_checkpoint(CLI::App& program);
Command add_bench(CLI::App& program);
Command add_evaluate(CLI::App& program);
Command add_convert(CLI::App& program);
Command add_serve(CLI::App& program);
Command add_help(CLI::App& program);
Command add_version(CLI::App& program);
Command add_completion(CLI::App& program);
Command add_man_pages(CLI::App& program);

}  // namespace fvlm
