// The log of a program: "[2026-11-23 08:17:00] INFO: message" on standard error and in a file.
#pragma once

#include <spdlog/logger.h>

#include <filesystem>
#include <memory>
#include <string>

#include "net/process/log.hpp"

namespace fvlm {

// ~/ml-fastvlm-logs
std::filesystem::path default_log_folder();

// Also writes FOLDER/NAME.log, rotated at 10 MB with five old files; without the file, and with a
// warning, if it cannot be written.
std::shared_ptr<spdlog::logger> open_log(const std::filesystem::path& folder,
                                         const std::string& name);

// Lines for `logger`. What others said is part of them: control characters become spaces, so that
// none makes two lines of one, or moves the cursor.
net::Log log_to(std::shared_ptr<spdlog::logger> logger);

}  // namespace fvlm
