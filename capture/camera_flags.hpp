// The settings of one camera as flags: of the command line, and as the keys of a [[camera]] table.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "capture/feed.hpp"

namespace fvlm::capture {

struct CameraSettings {
  FeedOptions feed{};
  std::string api_key_file{};
};

// Where pictures come from and what is done to them; to whom they go.
void add_camera_flags(CLI::App& app, CameraSettings& settings);
void add_server_flags(CLI::App& app, CameraSettings& settings);
// What only a table has: name, title, place and size.
void add_table_flags(CLI::App& app, CameraSettings& settings);

// What follows from the flags once all are known. Throws std::runtime_error if the key's file
// cannot be read.
FeedOptions feed_options(const CameraSettings& settings);

}  // namespace fvlm::capture
