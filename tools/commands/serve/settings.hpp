// What fastvlm serve is told: by flags, and by files and the environment, which may say something
// else while it runs. So all are read again on SIGHUP, in the same way as at first.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <utility>
#include <vector>

#include "tools/commands/serve/options.hpp"

namespace fvlm {

// The flags of a command line, with their values.
using GivenFlags = std::vector<std::pair<std::string, std::vector<std::string>>>;

GivenFlags given_flags(const CLI::App& parser);

// These flags, then for others the config file, keys from their files or $FASTVLM_API_KEY, and what
// follows from all of them. Throws an exception that names the flag or the file if something is
// wrong.
ServeOptions read_settings(const GivenFlags& given);

}  // namespace fvlm
