// The config file: a key for each flag of the program, and behind these, if there are several
// cameras, a table for each:
//     [[camera]]
//     name = "door"
//     source = "v4l2:/dev/video0"
// A table takes the flags of a camera; what it does not say is as for the whole program.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "capture/camera_flags.hpp"

namespace fvlm::capture {

// Gives the flags of `program`, which has been parsed and fills `settings`, the file's values,
// except those that stood on the command line. Returns the cameras of the tables, if there are any.
// Throws net::ConfigError.
std::vector<FeedOptions> apply_config_file(CLI::App& program, const std::string& path,
                                           const CameraSettings& settings);

}  // namespace fvlm::capture
