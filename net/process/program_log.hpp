// Where a program writes what happens: "[2026-11-23 08:17:00] INFO: message" on standard error and
// in a file.
#pragma once

#include <spdlog/logger.h>

#include <filesystem>
#include <memory>
#include <string>

namespace fvlm {

// ~/ml-fastvlm-logs
std::filesystem::path default_log_folder();

// Writes to FOLDER/NAME.log, too, of which five old ones of 10 MB are kept; without the file, and
// with a warning, if it cannot be written.
std::shared_ptr<spdlog::logger> open_log(const std::filesystem::path& folder,
                                         const std::string& name);

}  // namespace fvlm
