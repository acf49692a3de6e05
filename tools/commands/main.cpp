// The fastvlm program: finds the command, runs it, and turns errors into one line on standard
// error. Results go to standard output, everything else to standard error. Exit codes: command.hpp.
#include <fmt/format.h>
#include <version.hpp>  // generated: FVLM_VERSION

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/terminal.hpp"

namespace {

// Help with the first name of each flag. Others are aliases: predict.py's names with dashes, and
// names of earlier versions.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(32); }

  std::string make_option_name(const CLI::Option* option, bool) const override {
    const std::string name = "--" + option->get_lnames().front();
    return option->get_snames().empty() ? name : "-" + option->get_snames().front() + ", " + name;
  }
  std::string make_description(const CLI::App* command) const override {
    return command->get_description() + "\n\n";
  }
};

// What is wrong with the command line. A flag that does not exist comes first: that a required one
// is missing often follows from it.
std::string usage_problem(const CLI::App& program, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = program.remaining(true);
  if (unknown.empty()) return error.what();
  const std::string& first = unknown.front();
  if (first.starts_with('-')) return fmt::format("unknown flag {}", first);
  return fmt::format("unexpected {} {}", program.get_subcommands().empty() ? "command" : "argument",
                     first);
}

int run(int argc, char** argv) {
  CLI::App program(
      "FastVLM: a vision-language model that describes pictures and answers questions about them.",
      "fastvlm");
  program.formatter(std::make_shared<HelpFormatter>());
  program.set_version_flag("--version", "fastvlm " FVLM_VERSION, "Print the version and exit");
  program.set_help_flag("-h,--help", "Print this help and exit");
  program.require_subcommand(1);
  program.get_formatter()->label("SUBCOMMAND", "COMMAND");
  program.option_defaults()->take_last();  // a flag given twice: the last one counts

  const std::vector<fvlm::Command> commands = {
      fvlm::add_describe(program), fvlm::add_chat(program),     fvlm::add_info(program),
      fvlm::add_tokenize(program), fvlm::add_trace(program),    fvlm::add_make_checkpoint(program),
      fvlm::add_bench(program),    fvlm::add_evaluate(program), fvlm::add_convert(program),
      fvlm::add_serve(program),
  };
  for (const fvlm::Command& command : commands) command.parser->group("Commands");
  if (argc < 2) {
    fvlm::print_error_text(program.help());
    return fvlm::kExitError;
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return program.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    std::string command = "fastvlm";
    for (const CLI::App* parsed : program.get_subcommands()) command += " " + parsed->get_name();
    throw fvlm::make_error("{}; run {} --help", usage_problem(program, error), command);
  }
  const auto chosen = std::find_if(commands.begin(), commands.end(),
                                   [](const auto& command) { return command.parser->parsed(); });
  return chosen->run();
}

}  // namespace

int main(int argc, char** argv) {
  fvlm::open_standard_descriptors();
  // A reader that goes away ends this program without a word, whatever our parent made of SIGPIPE.
  std::signal(SIGPIPE, SIG_DFL);
  // A file beyond the allowed size is an error, like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int exit_code = run(argc, argv);
    if (std::fflush(stdout) != 0)
      throw fvlm::make_error("standard output: {}", std::strerror(errno));
    return exit_code;
  } catch (const std::bad_alloc&) {
    fvlm::print_notice("out of memory");
  } catch (const std::exception& error) {
    fvlm::print_notice(error.what());
  }
  return fvlm::kExitError;
}
