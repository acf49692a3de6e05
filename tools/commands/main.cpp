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
#include <new>
#include <string>
#include <vector>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "net/command_line/flag_checks.hpp"
#include "net/command_line/help_text.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/terminal.hpp"
#include "tools/commands/usage.hpp"

namespace {

int run(int argc, char** argv) {
  CLI::App program(
      "FastVLM: a vision-language model that describes pictures and answers questions about them.",
      "fastvlm");
  fvlm::set_help_form(program);
  program.set_version_flag("--version", "fastvlm " FVLM_VERSION, "Print the version and exit");
  program.set_help_flag("-h,--help", "Print this help and exit");
  program.require_subcommand(1);
  program.footer(
      "fastvlm help COMMAND explains a command. For example:\n"
      "  fastvlm describe --model-path DIR photo.jpg\n"
      "  fastvlm serve --model-path DIR\n");
  program.option_defaults()->take_last();  // refuse_wrong_flags() names those given twice

  const std::vector<fvlm::Command> commands = {
      fvlm::add_describe(program),   fvlm::add_chat(program),
      fvlm::add_info(program),       fvlm::add_tokenize(program),
      fvlm::add_trace(program),      fvlm::add_make_checkpoint(program),
      fvlm::add_bench(program),      fvlm::add_evaluate(program),
      fvlm::add_convert(program),    fvlm::add_serve(program),
      fvlm::add_help(program),       fvlm::add_version(program),
      fvlm::add_completion(program), fvlm::add_man_pages(program),
  };
  for (const fvlm::Command& command : commands) {
    command.parser->group("Commands");
    fvlm::add_verbosity_flags(*command.parser);
  }
  if (argc < 2) {
    fvlm::print_error_text(fvlm::help_text(program));
    return fvlm::kExitError;
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return program.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    std::string command = "fastvlm";
    for (const CLI::App* parsed : program.get_subcommands()) command += " " + parsed->get_name();
    throw fvlm::Error(fvlm::with_help(fvlm::usage_problem(program, error), command));
  }
  const auto chosen = std::find_if(commands.begin(), commands.end(),
                                   [](const auto& command) { return command.parser->parsed(); });
  fvlm::refuse_wrong_flags(*chosen->parser);
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
    fvlm::print_error("out of memory");
  } catch (const std::exception& error) {
    fvlm::print_error(error.what());
  }
  return fvlm::kExitError;
}
