#include "net/command_line/command_table.hpp"

#include <sstream>

namespace fvlm {
namespace {

constexpr const char* kRequired = " (required)";

std::vector<std::string> choices_of(const std::string& value) {
  std::vector<std::string> choices;
  std::istringstream parts(value);
  for (std::string part; std::getline(parts, part, '|');) {
    if (part.find(':') == std::string::npos) choices.push_back(part);  // cuda:N stands for many
  }
  return choices;
}

FlagEntry entry_of(const CLI::Option& option) {
  FlagEntry entry;
  entry.name = "--" + option.get_lnames().front();
  entry.description = option.get_description();
  entry.repeatable = option.get_expected_max() > 1;
  if (option.get_expected_min() == 0) return entry;
  entry.value = option.get_option_text();
  std::string bare = entry.value;
  if (bare.ends_with(kRequired)) bare.erase(bare.size() - std::string(kRequired).size());
  if (bare == "FILE") {
    entry.kind = ValueKind::kFile;
  } else if (bare == "DIR") {
    entry.kind = ValueKind::kFolder;
  } else if (!option.get_type_name().empty() &&
             bare.find_first_of("abcdefghijklmnopqrstuvwxyz") == 0) {
    entry.kind = ValueKind::kChoice;  // names in small letters stand for themselves
    entry.choices = choices_of(bare);
  } else {
    entry.kind = ValueKind::kText;
  }
  return entry;
}

}  // namespace

std::vector<FlagEntry> flag_table(const CLI::App& command) {
  std::vector<FlagEntry> flags;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_lnames().empty()) flags.push_back(entry_of(*option));
  }
  return flags;
}

std::vector<CommandEntry> command_table(const CLI::App& program) {
  std::vector<CommandEntry> table;
  for (const CLI::App* command : program.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;
    CommandEntry entry;
    entry.names = {command->get_name()};
    for (const std::string& alias : command->get_aliases()) entry.names.push_back(alias);
    entry.description = command->get_description();
    entry.footer = command->get_footer();
    entry.flags = flag_table(*command);
    for (const CLI::Option* option : command->get_options()) {
      if (!option->get_positional()) continue;
      const bool several = option->get_expected_max() > 1;
      entry.argument = option->get_name(true) + (several ? "..." : "");
      entry.argument_description = option->get_description();
      entry.takes_files = several;
      entry.takes_command = option->get_name(true) == "COMMAND";
    }
    table.push_back(std::move(entry));
  }
  return table;
}

}  // namespace fvlm
