// The log of a program, on standard error and in a file: lines of text as the original system has
// them, "[2026-11-23 08:17:00] INFO: message", or JSON objects, one a line, for programs.
#pragma once

#include <spdlog/logger.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "net/process/log.hpp"

namespace fvlm {

enum class LogFormat : std::uint8_t { kText, kJson };

struct LogOptions {
  std::filesystem::path folder;
  std::string name;                            // of the file, without ".log"
  net::LogLevel level = net::LogLevel::kInfo;  // and above
  LogFormat format = LogFormat::kText;
};

// What is logged unless --log-level says otherwise, with --quiet or --verbose.
net::LogLevel default_log_level(bool quiet, bool verbose);

// ~/ml-fastvlm-logs
std::filesystem::path default_log_folder();

// Also writes FOLDER/NAME.log, readable by its owner alone, rotated at 10 MB with five old files;
// without the file, and with a warning, if it cannot be written.
net::Log open_log(const LogOptions& options);

// Lines for `logger`. What others said is part of them: control characters become spaces, so that
// none makes two lines of one, or moves the cursor. A line about a request ends in its id in
// brackets. In JSON: time (UTC), level, message, and the fields that are not empty.
net::Log log_to(std::shared_ptr<spdlog::logger> logger, LogFormat format = LogFormat::kText);

// One line of it in JSON.
std::string json_line(net::LogLevel level, const std::string& message,
                      const net::LogFields& fields = {});

}  // namespace fvlm
