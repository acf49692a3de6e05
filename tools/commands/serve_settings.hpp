// What fastvlm serve is told: by flags, and by files and the environment, which may change while it
// runs.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <utility>
#include <vector>

#include "tools/commands/serve_options.hpp"

namespace fvlm {

// The flags of the command line, with their values, so that settings can be read again.
using Given = std::vector<std::pair<std::string, std::vector<std::string>>>;

Given given_flags(const CLI::App& parser);

// What follows from the flags once all are known.
void complete(ServeOptions& options, CLI::App& parser);

// Flags and files as they are now.
ServeOptions read_again(const Given& given);

}  // namespace fvlm
