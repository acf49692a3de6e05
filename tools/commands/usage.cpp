#include "tools/commands/usage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "net/command_line/flag_checks.hpp"
#include "net/command_line/suggestions.hpp"

namespace fvlm {
namespace {

// ": did you mean --model-path DIR?" if that is missing, and one of the pictures is such a folder.
std::string model_among_arguments(const CLI::App& command) {
  const CLI::Option* const model = command.get_option_no_throw("--model-path");
  if (model == nullptr || !model->get_required() || model->count() > 0) return "";
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    for (const std::string& argument : option->results()) {
      std::error_code none;
      if (!std::filesystem::exists(std::filesystem::path(argument) / "config.json", none)) continue;
      return fmt::format(": did you mean --model-path {}?", argument);
    }
  }
  return "";
}

}  // namespace

std::vector<std::string> command_names(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;
    names.push_back(command->get_name());
    for (const std::string& alias : command->get_aliases()) names.push_back(alias);
  }
  return names;
}

std::string unknown_command(const std::string& typed, const CLI::App& program) {
  return fmt::format("unexpected command {}{}", typed,
                     net::suggestion(typed, command_names(program)));
}

// A flag that does not exist comes first: that a required one is missing often follows from it.
std::string usage_problem(const CLI::App& program, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = program.remaining(true);
  if (unknown.empty()) {
    const auto chosen = program.get_subcommands();
    const CLI::App& command = chosen.empty() ? program : *chosen.front();
    return flag_problem(command, error) + model_among_arguments(command);
  }
  const std::string& first = unknown.front();
  const std::vector<CLI::App*> commands = program.get_subcommands();
  if (first.starts_with('-')) return unknown_flag(first, commands.empty() ? program : *commands[0]);
  std::error_code none;
  if (commands.empty() && std::filesystem::exists(first, none)) {
    return fmt::format("unexpected command {}: did you mean fastvlm describe {}?", first, first);
  }
  if (commands.empty()) return unknown_command(first, program);
  for (const char* flag : {"--model-path", "--tokenizer"}) {
    if (commands[0]->get_option_no_throw(flag) == nullptr) continue;
    if (!std::filesystem::is_directory(first, none)) continue;
    return fmt::format("unexpected argument {}: did you mean {} {}?", first, flag, first);
  }
  return fmt::format("unexpected argument {}", first);
}

void refuse_wrong_flags(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    const std::string value = option->get_option_text();
    const bool is_path = value.starts_with("FILE") || value.starts_with("DIR");
    const std::vector<std::string> given = option->results();
    if (is_path && std::find(given.begin(), given.end(), "") != given.end()) {
      throw make_error("{} is empty, expected the name of a {}", option->get_name(),
                       value.starts_with("FILE") ? "file" : "folder");
    }
    if (option->get_expected_max() > 1 || option->count() <= 1) continue;
    throw Error(given_too_often(option->get_name(), std::to_string(option->count())));
  }
}

}  // namespace fvlm
