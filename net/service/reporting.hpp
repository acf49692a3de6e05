// What the services say in the log, and how much of it.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>

#include "fvlm/engine.hpp"
#include "net/process/log.hpp"

namespace fvlm::net {

struct Reporting {
  Log log{};
  bool answers = false;  // their texts, else how long they are
  // Requests and frames that take longer are logged as such.
  std::chrono::milliseconds slow{30'000};

  void answered(const std::string& whom, const std::string& text, const Statistics& statistics,
                LogFields fields) const {
    fields.verbatim = answers;
    log(LogLevel::kInfo,
        whom + ": " +
            (answers ? text
                     : fmt::format("{} tokens, {} bytes", statistics.new_tokens, text.size())),
        fields);
  }
};

}  // namespace fvlm::net
