// What --verbose says of a file or folder that a command has written.
#pragma once

#include <filesystem>
#include <utility>

#include "tools/commands/shared/stopwatch.hpp"

namespace fvlm {

class Writing {
 public:
  explicit Writing(std::filesystem::path path) : path_(std::move(path)) {}
  // How large it is, and what time it took since construction.
  void print_done() const;

 private:
  std::filesystem::path path_;
  Stopwatch passed_;
};

}  // namespace fvlm
