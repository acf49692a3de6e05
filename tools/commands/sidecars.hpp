// Answers in a file beside no other: photos/2024/a.jpg of the folder photos becomes 2024/a.txt or
// 2024/a.json below the output folder. Each file appears whole or not at all, so a run that was
// stopped goes on where it was: what is there already is done.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tools/commands/inputs.hpp"

namespace fvlm {

class Sidecars {
 public:
  // `ending` is ".txt" or ".json". Makes the folder. Throws Error if it cannot be made or written
  // in, or if two pictures would have one sidecar.
  Sidecars(std::filesystem::path folder, std::string ending, const std::vector<Input>& pictures);

  std::filesystem::path path_of(const Input& picture) const;
  // Those that have none, each once; with `force` all.
  std::vector<Input> missing(const std::vector<Input>& pictures, bool force) const;

  // Replaces what is there. Throws Error if it cannot be written.
  void write(const Input& picture, std::string_view text) const;

 private:
  std::filesystem::path folder_;
  std::string ending_;
};

}  // namespace fvlm
