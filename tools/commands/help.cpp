// fastvlm help and fastvlm version: what --help and --version print, for those who look for a
// command.
#include <version.hpp>  // generated: FVLM_VERSION

#include <memory>
#include <string>

#include "kernels/support/make_error.hpp"
#include "net/command_line/help_text.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/terminal.hpp"
#include "tools/commands/usage.hpp"

namespace fvlm {
namespace {

// By its name or another of its names; nullptr if there is none.
const CLI::App* find(const CLI::App& program, const std::string& name) {
  const auto found = program.get_subcommands(
      [&name](const CLI::App* command) { return command->check_name(name); });
  return found.empty() ? nullptr : found.front();
}

}  // namespace

Command add_help(CLI::App& program) {
  CLI::App* const parser = program.add_subcommand("help", "Explain a command and its flags");
  const auto name = std::make_shared<std::string>();
  parser->add_option("COMMAND", *name, "The command [the list of all]")->option_text(" ");
  return {parser, [&program, name] {
            const CLI::App* const command = name->empty() ? &program : find(program, *name);
            if (command == nullptr) {
              const std::string problem = unknown_command(*name, program);
              throw make_error("{}{} fastvlm help lists the commands", problem,
                               problem.ends_with('?') ? "" : ";");
            }
            write_output(help_text(*command));
            return kExitSuccess;
          }};
}

Command add_version(CLI::App& program) {
  CLI::App* const parser = program.add_subcommand("version", "Print the version");
  return {parser, [] {
            write_output("fastvlm " FVLM_VERSION "\n");
            return kExitSuccess;
          }};
}

}  // namespace fvlm
