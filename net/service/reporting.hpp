// What the services say in the log, and how much of it.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>

#include "fvlm/engine.hpp"
#include "net/process/log.hpp"

namespace fvlm::net {

struct Reporting {
  Log log{};
  bool answers = false;  // their texts, else how long they are
  // Requests and frames that take longer are logged as such.
  std::chrono::milliseconds slow{30'000};
};

// An answer without its text.
inline std::string length_of(const Statistics& statistics, std::string_view text) {
  return fmt::format("{} tokens, {} bytes", statistics.new_tokens, text.size());
}

}  // namespace fvlm::net
