// fastvlm completion and fastvlm man-pages: what `cmake --install` puts where shells and man look
// for it, made from the table of flags that --help shows.
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "net/command_line/command_table.hpp"
#include "net/command_line/flag_checks.hpp"
#include "runtime/support/new_files.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/describe/written.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream) throw_not_writable(file);
}

int write_man_pages(const CLI::App& program, const std::filesystem::path& folder) {
  const std::vector<CommandEntry> commands = command_table(program);
  const Writing writing(folder);
  make_folder(folder);
  write(folder / "fastvlm.1", man_page(program, commands));
  for (const CommandEntry& command : commands) {
    const std::string& first = command.names.front();
    for (const std::string& name : command.names) {
      write(folder / ("fastvlm-" + name + ".1"),
            name == first ? man_page(program, command) : ".so man1/fastvlm-" + first + ".1\n");
    }
  }
  writing.print_done();
  return kExitSuccess;
}

}  // namespace

Command add_completion(CLI::App& program) {
  CLI::App* const parser = program.add_subcommand(
      "completion", "Print a script that completes command lines in bash, zsh or fish");
  parser->footer(
      "For this shell:  source <(fastvlm completion bash)\n"
      "                 fastvlm completion fish | source\n");
  const auto shell = std::make_shared<std::string>();
  parser->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(one_of({"bash", "zsh", "fish"}))
      ->option_text("(required)");
  return {parser, [&program, shell] {
            write_output(completion_script(*shell, command_table(program)));
            return kExitSuccess;
          }};
}

Command add_man_pages(CLI::App& program) {
  CLI::App* const parser =
      program.add_subcommand("man-pages", "Write the manual pages of the program and its commands");
  const auto folder = std::make_shared<std::string>();
  parser->add_option("--output", *folder, "The folder to write")
      ->required()
      ->option_text("DIR (required)");
  return {parser, [&program, folder] { return write_man_pages(program, *folder); }};
}

}  // namespace fvlm
