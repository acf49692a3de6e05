// What --verbose says of a file or folder that a command has written.
#pragma once

#include <chrono>
#include <filesystem>
#include <utility>

namespace fvlm {

class Writing {
 public:
  explicit Writing(std::filesystem::path path) : path_(std::move(path)) {}
  // How large it is, and what time it took since construction.
  void print_done() const;

 private:
  std::filesystem::path path_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace fvlm
