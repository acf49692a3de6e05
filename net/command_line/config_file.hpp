// A program's config file: TOML 1.0, whose keys are the program's flags without their dashes, and
// whose tables are things of which a program may have several:
//     port = 8080
//     [[camera]]
//     name = "door"
// toml++ reads it; here are its lines with their places, which errors need.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm::net {

struct ConfigPlace {
  std::size_t line = 1;
  std::size_t column = 1;  // in characters
};

// "FILE:LINE:COLUMN: what is wrong and what to do", on one line.
class ConfigError : public std::runtime_error {
 public:
  ConfigError(const std::string& file, ConfigPlace place, const std::string& problem);
  // Of the file as a whole.
  ConfigError(const std::string& file, const std::string& problem);
};

struct ConfigValue {
  enum class Kind { kText, kInteger, kFloat, kBoolean };

  Kind kind = Kind::kText;
  std::string text;  // as on the command line
  ConfigPlace place;
};

struct ConfigEntry {
  std::string key;
  ConfigPlace place;                // of the key
  std::vector<ConfigValue> values;  // one, or those of an array
  bool is_array = false;
};

// In the file's order.
using ConfigEntries = std::vector<ConfigEntry>;

struct ConfigTable {
  ConfigPlace place;
  ConfigEntries entries;
};

struct ConfigFile {
  std::string path;
  ConfigEntries entries;            // before the first table
  std::vector<ConfigTable> tables;  // each [[NAME]]
};

// Longer files are refused. It bounds what a file can make a parser do: tables within tables, say,
// which are as many levels of recursion.
inline constexpr std::size_t kLongestConfig = 64 * 1024;

// Reads a file whose tables, if there may be any, are each [[`table`]]. Throws ConfigError.
ConfigFile read_config_file(const std::string& path, std::string_view table = {});

// The same, of its text.
ConfigFile parse_config(std::string_view text, const std::string& path,
                        std::string_view table = {});

}  // namespace fvlm::net
