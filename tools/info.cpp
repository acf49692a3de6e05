#include "tools/command.hpp"
namespace fvlm {
Command add_info(CLI::App& program) { return {program.add_subcommand("info", "placeholder"), [] { return kExitError; }}; }
}
