// Where a program keeps what it can compute again.
#pragma once

#include <filesystem>

namespace fvlm {

// $CACHE_DIRECTORY, which systemd sets for a service; else fastvlm in $XDG_CACHE_HOME or ~/.cache.
// Empty if none of these is known. The folder may not exist.
std::filesystem::path cache_folder();

}  // namespace fvlm
