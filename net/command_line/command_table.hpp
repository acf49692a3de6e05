// The program's commands and flags as --help shows them, for what is made of the same table: man
// pages and completions of shells.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace fvlm {

// What stands after a flag.
enum class ValueKind { kNone, kText, kFile, kFolder, kChoice };

struct FlagEntry {
  std::string name;         // "--device"
  std::string value;        // as --help writes it, e.g. "FILE"; empty if the flag takes none
  std::string description;  // with its default in [] at the end
  ValueKind kind = ValueKind::kNone;
  std::vector<std::string> choices;
  bool repeatable = false;
};

struct CommandEntry {
  std::vector<std::string> names;  // others are aliases
  std::string description;
  std::string footer;  // further lines of --help
  std::vector<FlagEntry> flags;
  std::string argument;  // what else it takes, e.g. "PICTURE..."; empty if nothing
  std::string argument_description;
  bool takes_files = false;
  bool takes_command = false;
};

std::vector<CommandEntry> command_table(const CLI::App& program);
// The flags of the program itself.
std::vector<FlagEntry> flag_table(const CLI::App& command);

// The program as a manual page of section 1, or one of its commands: troff with the man macros.
std::string man_page(const CLI::App& program, const std::vector<CommandEntry>& commands);
std::string man_page(const CLI::App& program, const CommandEntry& command);

// A script for "bash", "zsh" or "fish" that completes commands, flags, their choices and files.
std::string completion_script(const std::string& shell, const std::vector<CommandEntry>& commands);

}  // namespace fvlm
