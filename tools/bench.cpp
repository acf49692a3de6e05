#include "tools/command.hpp"
namespace fvlm {
Command add_bench(CLI::App& program) { return {program.add_subcommand("bench", "placeholder"), [] { return kExitError; }}; }
}
