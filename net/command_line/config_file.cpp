#include "net/command_line/config_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "net/command_line/config_syntax.hpp"
#include "net/command_line/suggestions.hpp"
#include "net/http/one_line.hpp"

// Headers alone, in this source alone, and without what writes TOML. What toml++ asserts, or lets
// the compiler assume, some files break one step before they are refused: "[#" in 3.3,
// "2026-01-01T" in 3.4.
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ASSERT(condition) static_cast<void>(0)
#define TOML_ASSUME(condition) static_cast<void>(0)
#include <toml++/toml.h>

namespace fvlm::net {
namespace {

ConfigPlace place_of(const toml::source_position& position) {
  return {position.line, position.column};
}

class Reader {
 public:
  Reader(const std::string& path, std::string_view table) : table_(table) { file_.path = path; }

  ConfigFile read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      if (!table_.empty() && key == table_) {
        read_tables(key, node);
      } else {
        file_.entries.push_back(entry_of(key, node));
      }
    }
    in_order(file_.entries);
    return std::move(file_);
  }

 private:
  // toml++ sorts by key.
  static void in_order(ConfigEntries& entries) {
    std::sort(entries.begin(), entries.end(), [](const ConfigEntry& a, const ConfigEntry& b) {
      return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
  }

  [[noreturn]] void fail(ConfigPlace place, const std::string& problem) const {
    throw ConfigError(file_.path, place, problem);
  }

  void read_tables(const toml::key& key, const toml::node& node) {
    const toml::array* const array = node.as_array();
    if (array == nullptr || !array->is_array_of_tables()) {
      fail(place_of(key.source().begin),
           fmt::format("{0} is a table in two pairs of brackets, as there may be several: [[{0}]]",
                       table_));
    }
    for (const toml::node& element : *array) {
      ConfigTable table{place_of(element.source().begin), {}};
      for (const auto& [name, value] : *element.as_table()) {
        table.entries.push_back(entry_of(name, value));
      }
      in_order(table.entries);
      file_.tables.push_back(std::move(table));
    }
  }

  ConfigEntry entry_of(const toml::key& key, const toml::node& node) const {
    ConfigEntry entry{std::string(key.str()), place_of(key.source().begin), {}, node.is_array()};
    if (node.is_table() || node.is_array_of_tables()) fail(entry.place, no_table(entry.key));
    if (!entry.is_array) {
      entry.values.push_back(value_of(entry, node));
      return entry;
    }
    for (const toml::node& element : *node.as_array()) {
      entry.values.push_back(value_of(entry, element));
    }
    return entry;
  }

  std::string no_table(std::string_view name) const {
    const std::string problem = fmt::format("there is no table {}", one_line(name, kLongestQuote));
    if (table_.empty()) return problem + "; keys stand without one, as in port = 5000";
    if (!nearest(name, {std::string(table_)}).empty()) {
      return fmt::format("{}: did you mean [[{}]]?", problem, table_);
    }
    return fmt::format("{}, only [[{}]]", problem, table_);
  }

  ConfigValue value_of(const ConfigEntry& entry, const toml::node& node) const {
    using Kind = ConfigValue::Kind;
    const ConfigPlace place = place_of(node.source().begin);
    if (const auto* text = node.as_string()) return {Kind::kText, text->get(), place};
    if (const auto* integer = node.as_integer()) {
      return {Kind::kInteger, fmt::format("{}", integer->get()), place};
    }
    if (const auto* boolean = node.as_boolean()) {
      return {Kind::kBoolean, boolean->get() ? "true" : "false", place};
    }
    const std::string key = one_line(entry.key, kLongestQuote);
    const auto* const number = node.as_floating_point();
    if (number == nullptr) {
      fail(place, fmt::format("{}: expected a text in quotes, a number, true or false{}", key,
                              entry.is_array ? " within the array" : ""));
    }
    if (!std::isfinite(number->get()))
      fail(place, fmt::format("{}: expected a finite number", key));
    std::string text = fmt::format("{}", number->get());
    if (text.find_first_of(".e") == text.npos) text += ".0";  // areas in fractions differ by it
    return {Kind::kFloat, text, place};
  }

  std::string_view table_;
  ConfigFile file_{};
};

std::string text_of(const std::string& path) {
  const auto fail = [&] { throw ConfigError(path, std::strerror(errno)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr) fail();
  std::string text(kLongestConfig + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) fail();
  if (text.size() > kLongestConfig) {
    throw ConfigError(
        path, fmt::format("longer than {} KB, and so no config file", kLongestConfig / 1024));
  }
  return text;
}

}  // namespace

ConfigError::ConfigError(const std::string& file, ConfigPlace place, const std::string& problem)
    : ConfigError(fmt::format("{}:{}:{}", file, place.line, place.column), problem) {}

ConfigError::ConfigError(const std::string& file, const std::string& problem)
    : std::runtime_error(one_line(fmt::format("{}: {}", file, problem), kLongestLine)) {}

ConfigFile read_config_file(const std::string& path, std::string_view table) {
  return parse_config(text_of(path), path, table);
}

ConfigFile parse_config(std::string_view text, const std::string& path, std::string_view table) {
  try {
    return Reader(path, table).read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    const ConfigPlace place = place_of(error.source().begin);
    throw ConfigError(path, place, syntax_problem(text, place, error.description()));
  }
}

}  // namespace fvlm::net
