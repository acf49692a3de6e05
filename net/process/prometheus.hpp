// Metrics in the text format of Prometheus, and those of this process.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace fvlm::prometheus {

inline constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

inline std::string head(std::string_view name, std::string_view type, std::string_view help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

template <class Value>
std::string gauge(std::string_view name, std::string_view help, Value value) {
  return head(name, "gauge", help) + fmt::format("{} {}\n", name, value);
}

template <class Value>
std::string counter(std::string_view name, std::string_view help, Value value) {
  return head(name, "counter", help) + fmt::format("{} {}\n", name, value);
}

// One counter for each value of a label.
template <class Counts = std::initializer_list<std::pair<std::string_view, std::uint64_t>>>
std::string counters(std::string_view name, std::string_view help, std::string_view label,
                     const Counts& counts) {
  std::string text = head(name, "counter", help);
  for (const auto& [value, count] : counts) {
    text += fmt::format("{}{{{}=\"{}\"}} {}\n", name, label, value, count);
  }
  return text;
}

// A label's value, which may be any text.
std::string escaped(std::string_view value);

std::int64_t resident_bytes();
std::int64_t open_descriptors();
// What Prometheus' own client libraries tell of a process: its processor time, memory, start and
// descriptors, under their names.
std::string process_text();

}  // namespace fvlm::prometheus
