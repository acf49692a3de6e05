// The settings of one camera as flags: of the command line, and as the keys of a [[camera]] table.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "capture/feed.hpp"

namespace fvlm::capture {

struct CameraSettings {
  FeedOptions feed{};
  std::string format = "auto";
  std::string interval = "1s";
  std::string api_key_file{};
  std::vector<std::string> flip{};
  std::vector<std::string> crop{};  // the numbers of an area, together or each alone
  std::vector<std::string> masks{};
};

// Where pictures come from and what is done to them; to whom they go.
void add_camera_flags(CLI::App& app, CameraSettings& settings);
void add_server_flags(CLI::App& app, CameraSettings& settings);
// What only a table has: name, title, place and size.
void add_table_flags(CLI::App& app, CameraSettings& settings);

// Throws CLI::ParseError, SourceError or std::runtime_error that names the flag.
FeedOptions feed_options(const CameraSettings& settings);

}  // namespace fvlm::capture
