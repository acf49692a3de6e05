// The file of settings: a line NAME = VALUE for each flag of the program, and behind these, if
// there are several cameras, a table for each:
//     [[camera]]
//     name = "door"
//     source = "v4l2:/dev/video0"
// A table takes the flags of a camera; what it does not say is as for the whole program.
#pragma once

#include <CLI/CLI.hpp>
#include <istream>
#include <string>
#include <vector>

#include "capture/camera_flags.hpp"

namespace fvlm::capture {

class ConfigFile final : public CLI::ConfigTOML {
 public:
  // The program that the file is for.
  explicit ConfigFile(const CLI::App& app) : app_(app) {}

  // The lines of the program; keeps the tables. Throws CLI::ParseError that names a line which is
  // neither.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

  // The cameras of the tables, from the program's settings; empty if there are no tables. Throws
  // CLI::ParseError, SourceError or std::runtime_error that names the table.
  std::vector<FeedOptions> cameras(const CameraSettings& program) const;

 private:
  using Items = std::vector<CLI::ConfigItem>;

  std::string path() const;
  FeedOptions camera(const Items& table, const CameraSettings& program) const;

  const CLI::App& app_;
  mutable std::vector<Items> tables_{};  // from_config is const in CLI11
};

}  // namespace fvlm::capture
