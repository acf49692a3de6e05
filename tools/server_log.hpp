// The server's log: "[2026-11-23 08:17:00] INFO: message" on standard error and in a file.
#pragma once

#include <spdlog/logger.h>

#include <filesystem>
#include <memory>

#include "net/log.hpp"

namespace fvlm {

// ~/ml-fastvlm-logs
std::filesystem::path default_log_folder();

// Writes to FOLDER/server.log, too, of which five old ones of 10 MB are kept; without the file, and
// with a warning, if it cannot be written.
std::shared_ptr<spdlog::logger> open_server_log(const std::filesystem::path& folder);

// For the server's own lines, which hold what others said: each stays one line.
net::Log server_log(std::shared_ptr<spdlog::logger> logger);

}  // namespace fvlm
