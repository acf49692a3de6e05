// The client's log: "[2026-11-23 08:17:00] INFO: message" on the console and in
// FOLDER/client.log, of which five old ones are kept.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>

namespace fvlm::capture {

// ~/ml-fastvlm-logs.
std::filesystem::path default_log_folder();

// Without the file, and with a warning, if it cannot be written.
std::shared_ptr<spdlog::logger> open_log(const std::filesystem::path& folder, bool verbose);

}  // namespace fvlm::capture
